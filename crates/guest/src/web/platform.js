// What is Sluice's own: secrets, counters and kv. Whether an Action may use them is the host's to say.
(function (native, web) {
  'use strict';

  const { stringify, rejected } = web;
  const { fill, UnavailableError } = web;

  function fail(what, { kind, message }, blank) {
    const text = `${what}: ${message}`;
    switch (kind) {
      case 'invalid':
        return fill(TypeError, undefined, text, {});
      case 'unavailable':
        return fill(UnavailableError, blank, text, {});
      default:
        return fill(Error, undefined, text, {});
    }
  }

  const protocol = (kind, what, read) => ({
    kind,
    what,
    read,
    fail: (error, blank) => fail(what, error, blank),
    blank: () => new UnavailableError(),
  });
  const itself = (value) => value;
  const nothing = () => undefined;

  const secret = protocol('secret', 'secrets.get', itself);
  const take = protocol('counters.take', 'counters.take', itself);
  const kvGet = protocol('kv.get', 'kv.get', (value) => value ?? null);
  const kvSet = protocol('kv.set', 'kv.set', nothing);
  const kvDelete = protocol('kv.delete', 'kv.delete', nothing);

  const isText = (value, what) => {
    if (typeof value !== 'string') {
      throw new TypeError(`${what} must be a string`);
    }
  };

  const secrets = {
    get(name) {
      web.refuseEarly('secrets.get');
      isText(name, 'secrets.get: the name');
      return web.ask(secret, stringify({ name }));
    },
  };

  // `native.take` does what is plain, and comes here with the rest: where a call has begun, with its number or the answer, which
  // is an error.
  web.take = (key, options, begun) => {
    if (begun !== undefined) {
      return web.begun(take, begun, undefined);
    }
    if (typeof key !== 'string' || typeof options !== 'object' || options === null) {
      return rejected(new TypeError('counters.take takes a key, which is a string, and an object of options'));
    }
    let meta;
    try {
      meta = stringify({ ...options, key });
    } catch (error) {
      return rejected(error);
    }
    return web.call(take, meta, undefined, undefined);
  };

  const counters = { take: native.take };

  const kv = {
    async get(key) {
      isText(key, 'kv.get: the key');
      return web.call(kvGet, stringify({ key }), undefined, undefined);
    },

    async set(key, value, options) {
      isText(key, 'kv.set: the key');
      const text = stringify(value);
      if (text === undefined) {
        throw new TypeError(`kv.set: the value must have a JSON, and ${typeof value} has none`);
      }
      const { ttl_s: ttl } = web.dictionary(options, 'kv.set: the third argument');
      if (typeof ttl !== 'number' || !(ttl > 0 && ttl < Infinity)) {
        throw new TypeError('kv.set: a time to live is required: { ttl_s: seconds }');
      }
      return web.call(kvSet, `{"key":${stringify(key)},"value":${text},"ttl_s":${ttl}}`, undefined, undefined);
    },

    async delete(key) {
      isText(key, 'kv.delete: the key');
      return web.call(kvDelete, stringify({ key }), undefined, undefined);
    },
  };

  web.define('secrets', secrets);
  web.define('counters', counters);
  web.define('kv', kv);
})
