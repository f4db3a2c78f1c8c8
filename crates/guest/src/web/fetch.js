// fetch, by the Fetch standard. The host makes the connection and says which ones may be made.
(function (native, web) {
  'use strict';

  const { Request, stringify, rejected } = web;

  /** Headers that say how a message is framed or where it goes: the host writes these. */
  const FORBIDDEN = new Set([
    'connection', 'content-length', 'expect', 'host', 'http2-settings', 'keep-alive', 'te', 'trailer',
    'transfer-encoding', 'upgrade',
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

  const { fetch } = {
    fetch(input, init = undefined) {
      try {
        web.refuseEarly('fetch');
        const { url, method, headers, body, redirect, signal } = web.sending(new Request(input, init));
        if (signal !== undefined && signal.aborted) {
          return rejected(signal.reason);
        }
        if (!url.startsWith('https:') && !url.startsWith('http:')) {
          const scheme = url.slice(0, url.indexOf(':') + 1);
          throw web.unfit('url_refused', `fetch: only https: and http: can be fetched, not ${scheme}`);
        }
        for (const [name] of headers) {
          if (FORBIDDEN.has(name) || name.startsWith('proxy-')) {
            const message = `fetch: the header '${name}' is written by the platform and cannot be given`;
            throw web.unfit('request_refused', message);
          }
        }
        const meta = stringify({ url: url.split('#', 1)[0], method, headers, redirect });
        return web.call(protocol(method), meta, body, signal);
      } catch (error) {
        return rejected(error);
      }
    },
  };

  web.define('fetch', fetch);
})
