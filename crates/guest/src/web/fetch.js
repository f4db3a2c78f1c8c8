// fetch, by the Fetch standard. The host makes the connection and says which ones may be made.
(function (native, web) {
  'use strict';

  const { Request, stringify, rejected } = web;

  /** Headers that say how a message is framed or where it goes: the host writes these. */
  const FORBIDDEN = new Set([
    'host', 'content-length', 'transfer-encoding', 'connection', 'keep-alive', 'upgrade', 'te', 'trailer', 'expect',
  ]);

  const protocol = (method) => ({
    kind: 'fetch',
    what: 'fetch',
    read: (answer, body) => web.received(answer, body, method),
    fail: ({ code, message }, blank) => {
      const cause = web.fill(Error, undefined, message, typeof code === 'string' ? { code } : {});
      return web.fill(TypeError, blank, `fetch failed: ${message}`, { cause });
    },
    blank: () => new TypeError(),
  });

  function fetch(input, init = undefined) {
    try {
      web.required(arguments.length, 1, 'fetch');
      web.refuseEarly('fetch');
      const request = new Request(input, init);
      const { url, method, headers, body, redirect, signal } = web.sending(request);
      if (signal !== undefined && signal.aborted) {
        return rejected(signal.reason);
      }
      if (!url.startsWith('https:') && !url.startsWith('http:')) {
        throw new TypeError(`fetch: only https: and http: can be fetched, not ${url.slice(0, url.indexOf(':') + 1)}`);
      }
      for (const [name] of headers) {
        if (FORBIDDEN.has(name) || name.startsWith('proxy-')) {
          throw new TypeError(`fetch: the header '${name}' is written by the platform and cannot be given`);
        }
      }
      const meta = stringify({ url: url.split('#', 1)[0], method, headers, redirect });
      return web.call(protocol(method), meta, body, signal);
    } catch (error) {
      return rejected(error);
    }
  }

  web.define('fetch', fetch);
})
