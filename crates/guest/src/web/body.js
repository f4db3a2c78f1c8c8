// The bodies of Request and Response, by the Fetch standard's mixin Body. There are no streams: a body is bytes that
// are there in whole, and can be taken once.
(function (native, web) {
  'use strict';

  const { encode, decode } = native;
  const { parse, rejected } = web;
  const { Uint8Array, ArrayBuffer } = globalThis;
  const slice = web.uncurry(ArrayBuffer.prototype.slice);

  /** A body of bytes that nobody else has. */
  web.bodyOf = (bytes) => ({ bytes, used: false });

  /** What a value becomes as a body, and the type that goes with it: [body, type or undefined]. */
  web.extract = (value) => {
    if (typeof value !== 'string') {
      if (ArrayBuffer.isView(value) || web.isBuffer(value)) {
        return [web.bodyOf(web.copy(value, 'the body')), undefined];
      }
      if (web.isParams(value)) {
        return [web.bodyOf(encode(value.toString())), 'application/x-www-form-urlencoded;charset=UTF-8'];
      }
    }
    return [web.bodyOf(encode(`${value}`)), 'text/plain;charset=UTF-8'];
  };

  /** A body of the same bytes. Nobody writes to them, so that both can have them. */
  web.teeBody = (body) => body === null ? null : { bytes: body.bytes, used: false };

  web.isUsed = (body) => body !== null && body.used;

  const empty = new ArrayBuffer(0);
  function take(body) {
    if (body === null) {
      return empty;
    }
    if (body.used) {
      throw new TypeError('The body has already been used');
    }
    body.used = true;
    return body.bytes;
  }

  function text(body) {
    const bytes = take(body);
    const decoded = decode('utf-8', bytes, 0, bytes.byteLength, false);
    return decoded.charCodeAt(0) === 0xfeff ? decoded.slice(1) : decoded;
  }

  const streams = 'there are no streams here: use text(), json(), bytes() or arrayBuffer()';

  /** Gives a class the members of Body; `of` answers an object's body and refuses what is no such object. */
  web.mixBody = (Class, of) => {
    const what = Class.name.toLowerCase();
    const members = {
      get body() {
        if (of(this) === null) {
          return null;
        }
        throw new DOMException(`${Class.name}.body: ${streams}`, 'NotSupportedError');
      },
      get bodyUsed() {
        return web.isUsed(of(this));
      },
      async arrayBuffer() {
        const bytes = take(of(this));
        return slice(bytes, 0, bytes.byteLength);
      },
      async bytes() {
        const bytes = take(of(this));
        return new Uint8Array(slice(bytes, 0, bytes.byteLength));
      },
      async json() {
        return parse(text(of(this)));
      },
      async text() {
        return text(of(this));
      },
      blob() {
        return rejected(new DOMException('blob: there is no Blob here: use arrayBuffer()', 'NotSupportedError'));
      },
      formData() {
        const use = `new URLSearchParams(await ${what}.text())`;
        return rejected(new DOMException(`formData: there is no FormData here: use ${use}`, 'NotSupportedError'));
      },
    };
    Object.defineProperties(Class.prototype, Object.getOwnPropertyDescriptors(members));
  };
})
