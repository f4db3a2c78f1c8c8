// crypto, by the Web Cryptography API: random numbers, digests, and HMAC. No other algorithm is there.
(function (native, web) {
  'use strict';

  const { digest, hmac, equal, entropy } = native;
  const { Uint8Array, ArrayBuffer } = globalThis;

  const MAX_RANDOM_BYTES = 65536;
  /** Each hash with the size of its block in bits, which is how long a key is made, and its name in a JWK. */
  const HASHES = {
    'SHA-1': { block: 512, jwk: 'HS1' },
    'SHA-256': { block: 512, jwk: 'HS256' },
    'SHA-384': { block: 1024, jwk: 'HS384' },
    'SHA-512': { block: 1024, jwk: 'HS512' },
  };
  const INTEGERS = new Set([
    'Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array', 'Int32Array', 'Uint32Array',
    'BigInt64Array', 'BigUint64Array',
  ]);
  const USAGES =
    ['encrypt', 'decrypt', 'sign', 'verify', 'deriveKey', 'deriveBits', 'wrapKey', 'unwrapKey'];
  const FORMATS = ['raw', 'spki', 'pkcs8', 'jwk'];
  const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

  const failure = (name, message) => new DOMException(message, name);

  // ---- Keys

  let inside;

  class CryptoKey {
    #state;

    static {
      inside = (key) => key.#state;
      const is = (value) => typeof value === 'object' && value !== null && #state in value;
      web.isKey = is;
      web.cloners.push((value) => (is(value) ? new CryptoKey(web.key, value.#state) : undefined));
    }

    constructor(key = undefined, state = undefined) {
      web.guard(key);
      this.#state = state;
    }

    get type() {
      this.#state;
      return 'secret';
    }

    get extractable() { return this.#state.extractable; }
    get algorithm() { return this.#state.algorithm; }
    get usages() { return this.#state.usages; }
  }

  function makeKey(bytes, hash, bits, extractable, usages) {
    const algorithm = { name: 'HMAC', hash: { name: hash }, length: bits };
    const ordered = USAGES.filter((usage) => usages.includes(usage));
    return new CryptoKey(web.key, { bytes, hash, extractable, algorithm, usages: ordered });
  }

  // ---- Arguments

  const only = 'there are SHA-1, SHA-256, SHA-384 and SHA-512 for digest, and HMAC for importKey, exportKey, ' +
    'generateKey, sign and verify';

  function unsupported(operation, name) {
    return failure('NotSupportedError', `${operation}: '${name}' is not supported: ${only}`);
  }

  /** An algorithm's name as it was given, and the object with its parameters. */
  function algorithmOf(given, operation) {
    if ((typeof given === 'object' && given !== null) || typeof given === 'function') {
      const { name } = given;
      if (name === undefined) {
        throw new TypeError(`${operation}: the algorithm must have a name`);
      }
      return [`${name}`, given];
    }
    return [`${given}`, {}];
  }

  function hashOf(given, operation) {
    if (given === undefined) {
      throw new TypeError(`${operation}: the algorithm must have a hash`);
    }
    const [name] = algorithmOf(given, operation);
    const upper = name.toUpperCase();
    if (!Object.hasOwn(HASHES, upper)) {
      throw unsupported(operation, name);
    }
    return upper;
  }

  function hmacOf(given, operation) {
    const [name, parameters] = algorithmOf(given, operation);
    if (name.toUpperCase() !== 'HMAC') {
      throw unsupported(operation, name);
    }
    return parameters;
  }

  function usagesOf(given, operation) {
    const usages = [...given].map((usage) => web.word(usage, USAGES, `${operation}: a usage`));
    const other = usages.find((usage) => usage !== 'sign' && usage !== 'verify');
    if (other !== undefined) {
      throw failure('SyntaxError', `${operation}: a key of HMAC cannot be used to ${other}`);
    }
    return usages;
  }

  function needUsages(usages, operation) {
    if (usages.length === 0) {
      throw failure('SyntaxError', `${operation}: the usages of a secret key cannot be empty`);
    }
  }

  /** A length in bits as WebIDL reads it; undefined where none is given. */
  function bitsOf(parameters, operation) {
    const { length } = parameters;
    if (length === undefined) {
      return undefined;
    }
    const bits = Math.trunc(+length);
    if (!(bits >= 0 && bits <= 0xffffffff)) {
      throw new TypeError(`${operation}: the length must be a number of bits`);
    }
    return bits;
  }

  function keyFor(algorithm, key, usage) {
    if (!web.isKey(key)) {
      throw new TypeError(`${usage}: the key must be a CryptoKey`);
    }
    hmacOf(algorithm, usage);
    const state = inside(key);
    if (!state.usages.includes(usage)) {
      throw failure('InvalidAccessError', `${usage}: this key is not for it`);
    }
    return state;
  }

  // ---- JSON Web Keys

  function base64url(bytes) {
    let text = '';
    for (const byte of bytes) {
      text += String.fromCharCode(byte);
    }
    return toBase64(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
  }
  const { btoa: toBase64, atob: fromBase64 } = globalThis;

  function fromBase64url(text) {
    if (typeof text !== 'string' || !/^[A-Za-z0-9_-]*$/.test(text)) {
      throw failure('DataError', 'importKey: the member k of the JWK must be base64url');
    }
    let binary;
    try {
      binary = fromBase64(text.replaceAll('-', '+').replaceAll('_', '/'));
    } catch {
      throw failure('DataError', 'importKey: the member k of the JWK must be base64url');
    }
    return Uint8Array.from(binary, (character) => character.charCodeAt(0)).buffer;
  }

  function bytesOfJwk(jwk, hash, extractable, usages) {
    const refuse = (condition, message) => {
      if (condition) {
        throw failure('DataError', `importKey: ${message}`);
      }
    };
    const { kty, k, alg, use, key_ops: operations, ext } = jwk;
    refuse(kty !== 'oct', `the JWK's kty must be 'oct'`);
    refuse(k === undefined, 'the JWK has no k');
    const bytes = fromBase64url(k);
    refuse(alg !== undefined && alg !== HASHES[hash].jwk, `the JWK's alg is not '${HASHES[hash].jwk}'`);
    refuse(usages.length > 0 && use !== undefined && use !== 'sig', `the JWK's use is not 'sig'`);
    if (operations !== undefined) {
      const list = [...operations];
      refuse(new Set(list).size !== list.length, `the JWK's key_ops has one twice`);
      refuse(usages.some((usage) => !list.includes(usage)), `the JWK's key_ops does not have all usages`);
    }
    refuse(ext === false && extractable, 'the JWK is not to be extractable');
    return bytes;
  }

  // ---- The interfaces

  class SubtleCrypto {
    #brand;

    constructor(key = undefined) {
      web.guard(key);
    }

    async digest(algorithm, data) {
      this.#brand;
      web.required(arguments.length, 2, 'digest');
      const hash = hashOf(algorithm, 'digest');
      return digest(hash, ...web.bytes(data, 'digest: the data'));
    }

    async importKey(format, keyData, algorithm, extractable, keyUsages) {
      this.#brand;
      web.required(arguments.length, 5, 'importKey');
      const kind = web.word(format, FORMATS, 'importKey: the format');
      const parameters = hmacOf(algorithm, 'importKey');
      const hash = hashOf(parameters.hash, 'importKey');
      const length = bitsOf(parameters, 'importKey');
      const usages = usagesOf(keyUsages, 'importKey');
      let bytes;
      if (kind === 'raw') {
        bytes = web.copy(keyData, 'importKey: the data');
      } else if (kind === 'jwk') {
        if (typeof keyData !== 'object' || keyData === null || ArrayBuffer.isView(keyData) || web.isBuffer(keyData)) {
          throw new TypeError('importKey: the data must be a JWK');
        }
        bytes = bytesOfJwk(keyData, hash, !!extractable, usages);
      } else {
        throw failure('NotSupportedError', `importKey: the format '${kind}' is not supported: there are raw and jwk`);
      }
      if (bytes.byteLength === 0) {
        throw failure('DataError', 'importKey: the key is empty');
      }
      const bits = length ?? bytes.byteLength * 8;
      if (bits > bytes.byteLength * 8 || bits <= bytes.byteLength * 8 - 8) {
        throw failure('DataError', 'importKey: the length does not fit the key');
      }
      if (bits % 8 !== 0) {
        throw failure('NotSupportedError', 'importKey: a length that is not a multiple of 8 is not supported');
      }
      needUsages(usages, 'importKey');
      return makeKey(bytes, hash, bits, !!extractable, usages);
    }

    async exportKey(format, key) {
      this.#brand;
      web.required(arguments.length, 2, 'exportKey');
      const kind = web.word(format, FORMATS, 'exportKey: the format');
      if (!web.isKey(key)) {
        throw new TypeError('exportKey: the key must be a CryptoKey');
      }
      const { bytes, hash, extractable, usages } = inside(key);
      if (!extractable) {
        throw failure('InvalidAccessError', 'exportKey: the key is not extractable');
      }
      if (kind === 'raw') {
        return bytes.slice(0);
      }
      if (kind === 'jwk') {
        const k = base64url(new Uint8Array(bytes));
        return { key_ops: [...usages], ext: true, kty: 'oct', k, alg: HASHES[hash].jwk };
      }
      throw failure('NotSupportedError', `exportKey: the format '${kind}' is not supported: there are raw and jwk`);
    }

    async generateKey(algorithm, extractable, keyUsages) {
      this.#brand;
      web.required(arguments.length, 3, 'generateKey');
      const parameters = hmacOf(algorithm, 'generateKey');
      const hash = hashOf(parameters.hash, 'generateKey');
      const bits = bitsOf(parameters, 'generateKey') ?? HASHES[hash].block;
      const usages = usagesOf(keyUsages, 'generateKey');
      if (bits === 0) {
        throw failure('OperationError', 'generateKey: the length cannot be 0');
      }
      if (bits % 8 !== 0 || bits > MAX_RANDOM_BYTES * 8) {
        throw failure('NotSupportedError', `generateKey: a length of ${bits} bits is not supported`);
      }
      needUsages(usages, 'generateKey');
      const bytes = new ArrayBuffer(bits / 8);
      random(bytes, 0, bits / 8, 'crypto.subtle.generateKey');
      return makeKey(bytes, hash, bits, !!extractable, usages);
    }

    async sign(algorithm, key, data) {
      this.#brand;
      web.required(arguments.length, 3, 'sign');
      const { bytes, hash } = keyFor(algorithm, key, 'sign');
      return hmac(hash, bytes, 0, bytes.byteLength, ...web.bytes(data, 'sign: the data'));
    }

    async verify(algorithm, key, signature, data) {
      this.#brand;
      web.required(arguments.length, 4, 'verify');
      const { bytes, hash } = keyFor(algorithm, key, 'verify');
      const made = hmac(hash, bytes, 0, bytes.byteLength, ...web.bytes(data, 'verify: the data'));
      return equal(made, 0, made.byteLength, ...web.bytes(signature, 'verify: the signature'));
    }
  }

  // What there is for no algorithm at all, each with the place and the number of its arguments.
  for (const [name, at, count] of [
    ['encrypt', 0, 3], ['decrypt', 0, 3], ['deriveKey', 0, 5], ['deriveBits', 0, 2], ['wrapKey', 3, 4],
    ['unwrapKey', 3, 7],
  ]) {
    const method = {
      async [name](...args) {
        web.required(args.length, count, name);
        throw unsupported(name, algorithmOf(args[at], name)[0]);
      },
    }[name];
    Object.defineProperty(method, 'length', { value: count, configurable: true });
    Object.defineProperty(SubtleCrypto.prototype, name, { value: method, writable: true, configurable: true });
  }

  function random(buffer, offset, length, what) {
    if (entropy(buffer, offset, length) === false) {
      throw web.early(what);
    }
  }

  class Crypto {
    #subtle = new SubtleCrypto(web.key);

    constructor(key = undefined) {
      web.guard(key);
    }

    get subtle() { return this.#subtle; }

    getRandomValues(array) {
      this.#subtle;
      web.required(arguments.length, 1, 'getRandomValues');
      if (!ArrayBuffer.isView(array)) {
        throw new TypeError('getRandomValues: the argument must be a typed array');
      }
      if (!INTEGERS.has(web.typedName(array))) {
        throw failure('TypeMismatchError', 'getRandomValues: the argument must be a typed array of integers');
      }
      const [buffer, offset, length] = web.range(array);
      if (length > MAX_RANDOM_BYTES) {
        throw failure('QuotaExceededError', `getRandomValues: ${length} bytes are more than ${MAX_RANDOM_BYTES}`);
      }
      random(buffer, offset, length, 'crypto.getRandomValues');
      return array;
    }

    randomUUID() {
      this.#subtle;
      const bytes = new Uint8Array(16);
      random(bytes.buffer, 0, 16, 'crypto.randomUUID');
      bytes[6] = (bytes[6] & 0x0f) | 0x40;
      bytes[8] = (bytes[8] & 0x3f) | 0x80;
      let text = '';
      for (let index = 0; index < 16; index++) {
        text += (index === 4 || index === 6 || index === 8 || index === 10 ? '-' : '') + HEX[bytes[index]];
      }
      return text;
    }
  }

  web.expose(CryptoKey);
  web.expose(SubtleCrypto);
  web.expose(Crypto);
  web.define('crypto', new Crypto(web.key));
})
