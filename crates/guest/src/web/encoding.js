// TextEncoder and TextDecoder, by the Encoding standard, for the encodings that the host has; atob and btoa, which are
// the engine's but for what they say to no argument.
(function (native, web) {
  'use strict';

  const { encode, decode } = native;
  const { Uint8Array } = globalThis;
  const setBytes = web.uncurry(Uint8Array.prototype.set);
  const codePointAt = web.uncurry(String.prototype.codePointAt);

  const LABELS = {
    'utf-8': 'unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8',
    'utf-16le': 'csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le',
    'utf-16be': 'unicodefffe utf-16be',
    'windows-1252': 'ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 ' +
      'iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252',
  };
  const encodings = new Map();
  for (const [encoding, labels] of Object.entries(LABELS)) {
    for (const label of labels.split(' ')) {
      encodings.set(label, encoding);
    }
  }

  class TextEncoder {
    #brand;

    get encoding() {
      this.#brand;
      return 'utf-8';
    }

    encode(input = '') {
      this.#brand;
      return new Uint8Array(encode(`${input}`));
    }

    encodeInto(source, destination) {
      this.#brand;
      web.required(arguments.length, 2, 'encodeInto');
      const text = `${source}`;
      if (web.typedName(destination) !== 'Uint8Array') {
        throw new TypeError('encodeInto: the destination must be a Uint8Array');
      }
      const room = destination.length;
      let read = 0;
      let written = 0;
      while (read < text.length) {
        // A lone surrogate takes three bytes, as U+FFFD does.
        const point = codePointAt(text, read);
        const size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
        if (written + size > room) {
          break;
        }
        written += size;
        read += size === 4 ? 2 : 1;
      }
      setBytes(destination, new Uint8Array(encode(text.slice(0, read))));
      return { read, written };
    }
  }

  /** How many of the last bytes are the beginning of a character that may go on in the next part. */
  const unfinished = {
    'utf-8'(bytes) {
      for (let back = 1; back <= 3 && back <= bytes.length; back++) {
        const byte = bytes[bytes.length - back];
        if (byte >= 0x80 && byte < 0xc0) {
          continue;
        }
        const size = byte < 0xc2 || byte > 0xf4 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
        if (size <= back) {
          return 0;
        }
        // After some first bytes not every second byte can stand: what cannot become a character is an error now.
        const second = back > 1 ? bytes[bytes.length - back + 1] : 0xa0;
        const low = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
        const high = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
        return back > 1 && (second < low || second > high) ? 0 : back;
      }
      return 0;
    },
    'utf-16le': (bytes) => unfinishedPair(bytes, 1),
    'utf-16be': (bytes) => unfinishedPair(bytes, 0),
    'windows-1252': () => 0,
  };

  function unfinishedPair(bytes, high) {
    const odd = bytes.length % 2;
    const last = bytes.length - odd - 2;
    return last >= 0 && (bytes[last + high] & 0xfc) === 0xd8 ? odd + 2 : odd;
  }

  class TextDecoder {
    #encoding;
    #fatal;
    #ignoreBOM;
    /** What a part of a stream ended with that was not a whole character. */
    #rest = undefined;
    #started = false;

    constructor(label = 'utf-8', options = undefined) {
      const name = `${label}`.replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, '').toLowerCase();
      this.#encoding = encodings.get(name);
      if (this.#encoding === undefined) {
        const known = Object.keys(LABELS).join(', ');
        throw new RangeError(`TextDecoder: the encoding '${name}' is not known: there are ${known} and their labels`);
      }
      const { fatal, ignoreBOM } = web.dictionary(options, 'TextDecoder: the second argument');
      this.#fatal = !!fatal;
      this.#ignoreBOM = !!ignoreBOM;
    }

    get encoding() { return this.#encoding; }
    get fatal() { return this.#fatal; }
    get ignoreBOM() { return this.#ignoreBOM; }

    decode(input = undefined, options = undefined) {
      let [buffer, offset, length] =
        input === undefined ? [new ArrayBuffer(0), 0, 0] : web.bytes(input, 'decode: the argument');
      const stream = !!web.dictionary(options, 'decode: the second argument').stream;
      if (this.#rest !== undefined) {
        const whole = new Uint8Array(this.#rest.length + length);
        setBytes(whole, this.#rest);
        setBytes(whole, new Uint8Array(buffer, offset, length), this.#rest.length);
        [buffer, offset, length] = [whole.buffer, 0, whole.length];
        this.#rest = undefined;
      }
      if (stream) {
        const kept = unfinished[this.#encoding](new Uint8Array(buffer, offset, length));
        if (kept > 0) {
          length -= kept;
          this.#rest = new Uint8Array(buffer.slice(offset + length, offset + length + kept));
        }
      }
      const text = decode(this.#encoding, buffer, offset, length, this.#fatal);
      if (text === undefined) {
        this.#rest = undefined;
        this.#started = false;
        throw new TypeError(`decode: the bytes are not ${this.#encoding}`);
      }
      const first = !this.#started;
      this.#started = stream && (this.#started || text.length > 0);
      const marked = first && !this.#ignoreBOM && this.#encoding !== 'windows-1252' && text.charCodeAt(0) === 0xfeff;
      return marked ? text.slice(1) : text;
    }
  }

  const { atob: fromBase64, btoa: toBase64 } = globalThis;

  const { atob, btoa } = {
    atob(data) {
      web.required(arguments.length, 1, 'atob');
      return fromBase64(data);
    },

    btoa(data) {
      web.required(arguments.length, 1, 'btoa');
      return toBase64(data);
    },
  };

  web.define('atob', atob);
  web.define('btoa', btoa);
  web.expose(TextEncoder);
  web.expose(TextDecoder);
})
