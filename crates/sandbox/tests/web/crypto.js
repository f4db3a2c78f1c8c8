import { equal, ok, rejects, test, throws } from './harness.js';

const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
const bytes = (text) => new TextEncoder().encode(text);
const HMAC = { name: 'HMAC', hash: 'SHA-256' };
const keyOf = (text, usages = ['sign', 'verify'], extractable = true, algorithm = HMAC) =>
  crypto.subtle.importKey('raw', bytes(text), algorithm, extractable, usages);

test('getRandomValues fills what it is given and answers it', () => {
  const array = new Uint8Array(64);
  ok(crypto.getRandomValues(array) === array);
  ok(array.some((byte) => byte !== 0));
  ok(crypto.getRandomValues(new BigInt64Array(2)).length === 2);
});

test('getRandomValues fills a view and nothing around it', () => {
  const whole = new Uint8Array(96);
  crypto.getRandomValues(whole.subarray(32, 64));
  ok(whole.subarray(0, 32).every((byte) => byte === 0) && whole.subarray(64).every((byte) => byte === 0));
  ok(whole.subarray(32, 64).some((byte) => byte !== 0));
});

test('getRandomValues refuses what is too long or no integers', () => {
  equal(crypto.getRandomValues(new Uint8Array(65536)).length, 65536);
  throws(() => crypto.getRandomValues(new Uint8Array(65537)), 'QuotaExceededError');
  throws(() => crypto.getRandomValues(new Float64Array(1)), 'TypeMismatchError');
  throws(() => crypto.getRandomValues(new DataView(new ArrayBuffer(1))), 'TypeMismatchError');
});

test('getRandomValues wants a view', () => {
  throws(() => crypto.getRandomValues(), 'TypeError');
});

test('getRandomValues refuses an array and a buffer', 'sluice', () => {
  throws(() => crypto.getRandomValues([1]), 'TypeError');
  throws(() => crypto.getRandomValues(new ArrayBuffer(1)), 'TypeError');
});

test('randomUUID is a UUID of version 4', () => {
  const uuid = crypto.randomUUID();
  ok(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(uuid));
  ok(uuid !== crypto.randomUUID());
});

test('digest knows four hashes', async () => {
  equal(hex(await crypto.subtle.digest('SHA-1', bytes('abc'))), 'a9993e364706816aba3e25717850c26c9cd0d89d');
  equal(
    hex(await crypto.subtle.digest('SHA-256', bytes('abc'))),
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
  equal(hex(await crypto.subtle.digest('SHA-384', bytes('abc'))).slice(0, 16), 'cb00753f45a35e8b');
  equal(hex(await crypto.subtle.digest('SHA-512', bytes('abc'))).slice(0, 16), 'ddaf35a193617aba');
});

test('digest takes a name in any case, or an object, and buffers and views', async () => {
  const expected = hex(await crypto.subtle.digest('SHA-256', bytes('bc')));
  equal(hex(await crypto.subtle.digest({ name: 'sha-256' }, bytes('abcd').subarray(1, 3))), expected);
  equal(hex(await crypto.subtle.digest('sHa-256', bytes('bc').buffer)), expected);
});

test('digest rejects what it does not know', async () => {
  await rejects(crypto.subtle.digest('MD5', bytes('')), 'NotSupportedError');
  await rejects(crypto.subtle.digest('SHA-256', 'text'), 'TypeError');
  await rejects(crypto.subtle.digest('SHA-256'), 'TypeError');
  await rejects(crypto.subtle.digest({}, bytes('')), 'TypeError');
});

test('digest names what there is', 'sluice', async () => {
  await rejects(crypto.subtle.digest('MD5', bytes('')), 'NotSupportedError', "'MD5'");
  await rejects(crypto.subtle.digest('MD5', bytes('')), 'NotSupportedError', 'SHA-512');
});

test('HMAC signs as RFC 4231 says', async () => {
  const key = await keyOf('Jefe');
  const signature = await crypto.subtle.sign('HMAC', key, bytes('what do ya want for nothing?'));
  equal(hex(signature), '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843');
  const long = await keyOf('Jefe', ['sign'], false, { name: 'hmac', hash: { name: 'sha-512' } });
  equal(hex(await crypto.subtle.sign({ name: 'HMAC' }, long, bytes('what do ya want for nothing?'))).slice(0, 16),
    '164b7a7bfcf819e2');
});

test('HMAC verifies', async () => {
  const key = await keyOf('secret');
  const signature = new Uint8Array(await crypto.subtle.sign('HMAC', key, bytes('message')));
  equal(await crypto.subtle.verify('HMAC', key, signature, bytes('message')), true);
  equal(await crypto.subtle.verify('HMAC', key, signature, bytes('massage')), false);
  equal(await crypto.subtle.verify('HMAC', key, signature.subarray(0, 31), bytes('message')), false);
  signature[0] ^= 1;
  equal(await crypto.subtle.verify('HMAC', key, signature, bytes('message')), false);
});

test('a key says what it is', async () => {
  const key = await keyOf('0123', ['verify', 'sign'], false);
  ok(key instanceof CryptoKey);
  equal([key.type, key.extractable], ['secret', false]);
  equal([key.algorithm.name, key.algorithm.hash.name, key.algorithm.length], ['HMAC', 'SHA-256', 32]);
  equal([...key.usages].sort(), ['sign', 'verify']);
  equal(Object.prototype.toString.call(key), '[object CryptoKey]');
});

test('a key is used for what it is for', async () => {
  const signs = await keyOf('k', ['sign']);
  const verifies = await keyOf('k', ['verify']);
  await rejects(crypto.subtle.verify('HMAC', signs, bytes(''), bytes('')), 'InvalidAccessError');
  await rejects(crypto.subtle.sign('HMAC', verifies, bytes('')), 'InvalidAccessError');
});

test('a key is exported where it may be', async () => {
  equal(hex(await crypto.subtle.exportKey('raw', await keyOf('abc'))), '616263');
  const jwk = await crypto.subtle.exportKey('jwk', await keyOf('abc\xff?'));
  equal([jwk.kty, jwk.k, jwk.alg, jwk.ext], ['oct', 'YWJjw78_', 'HS256', true]);
  equal([...jwk.key_ops].sort(), ['sign', 'verify']);
});

test('a key that is not extractable is not exported, nor usages told twice', 'sluice', async () => {
  const key = await keyOf('abc', ['verify', 'sign', 'sign'], false);
  await rejects(crypto.subtle.exportKey('raw', key), 'InvalidAccessError');
  equal(key.usages, ['sign', 'verify']);
});

test('a key is imported from a JWK', async () => {
  const jwk = { kty: 'oct', k: 'SmVmZQ', alg: 'HS256', use: 'sig', key_ops: ['sign', 'verify'], ext: true };
  const key = await crypto.subtle.importKey('jwk', jwk, HMAC, true, ['sign']);
  equal(hex(await crypto.subtle.exportKey('raw', key)), '4a656665');
});

test('a JWK that does not fit is a DataError', async () => {
  const take = (jwk, extractable = true) => crypto.subtle.importKey('jwk', jwk, HMAC, extractable, ['sign']);
  const fits = { kty: 'oct', k: 'SmVmZQ' };
  await take(fits);
  await rejects(take({ ...fits, kty: 'RSA' }), 'DataError');
  await rejects(take({ ...fits, alg: 'HS512' }), 'DataError');
  await rejects(take({ ...fits, use: 'enc' }), 'DataError');
  await rejects(take({ ...fits, key_ops: ['verify'] }), 'DataError');
  await rejects(take({ ...fits, ext: false }), 'DataError');
  await rejects(take({ kty: 'oct' }), 'DataError');
  await take({ ...fits, ext: false }, false);
});

test('importing checks usages, length and format', async () => {
  await rejects(keyOf('k', []), 'SyntaxError');
  await rejects(keyOf('k', ['encrypt']), 'SyntaxError');
  await rejects(keyOf('k', ['nonsense']), 'TypeError');
  await rejects(keyOf(''), 'DataError');
  await rejects(keyOf('abcd', ['sign'], true, { ...HMAC, length: 64 }), 'DataError');
  await rejects(crypto.subtle.importKey('nonsense', bytes('k'), HMAC, true, ['sign']), 'TypeError');
  await rejects(keyOf('k', ['sign'], true, { name: 'HMAC' }), 'TypeError');
  await rejects(keyOf('k', ['sign'], true, { name: 'HMAC', hash: 'MD5' }), 'NotSupportedError');
});

test('a key is generated as long as the block of its hash', async () => {
  const key = await crypto.subtle.generateKey(HMAC, true, ['sign']);
  equal((await crypto.subtle.exportKey('raw', key)).byteLength, 64);
  const long = await crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-512' }, true, ['sign']);
  equal(long.algorithm.length, 1024);
  const short = await crypto.subtle.generateKey({ ...HMAC, length: 128 }, true, ['verify']);
  equal((await crypto.subtle.exportKey('raw', short)).byteLength, 16);
  await rejects(crypto.subtle.generateKey(HMAC, true, []), 'SyntaxError');
  await rejects(crypto.subtle.generateKey({ ...HMAC, length: 0 }, true, ['sign']), 'OperationError');
});

test('what is imported is a copy', async () => {
  const raw = bytes('abc');
  const key = await crypto.subtle.importKey('raw', raw, HMAC, true, ['sign']);
  raw[0] = 0;
  equal(hex(await crypto.subtle.exportKey('raw', key)), '616263');
});

test('other algorithms are not supported, and named', 'sluice', async () => {
  const key = await keyOf('k');
  const subtle = crypto.subtle;
  await rejects(subtle.importKey('raw', bytes('k'), 'AES-GCM', true, ['encrypt']), 'NotSupportedError', "'AES-GCM'");
  const curve = { name: 'ECDSA', namedCurve: 'P-256' };
  await rejects(subtle.generateKey(curve, true, ['sign']), 'NotSupportedError', 'ECDSA');
  await rejects(subtle.sign('RSASSA-PKCS1-v1_5', key, bytes('')), 'NotSupportedError', 'RSASSA');
  await rejects(subtle.encrypt({ name: 'AES-GCM' }, key, bytes('')), 'NotSupportedError', 'HMAC');
  await rejects(subtle.deriveBits({ name: 'PBKDF2' }, key, 128), 'NotSupportedError', 'PBKDF2');
  await rejects(subtle.importKey('spki', bytes('k'), HMAC, true, ['sign']), 'NotSupportedError', 'spki');
});

test('a key can be cloned', 'sluice', async () => {
  const clone = structuredClone(await keyOf('abc'));
  ok(clone instanceof CryptoKey);
  equal(hex(await crypto.subtle.exportKey('raw', clone)), '616263');
});

test('classes cannot be constructed', () => {
  throws(() => new Crypto(), 'TypeError');
  throws(() => new SubtleCrypto(), 'TypeError');
  throws(() => new CryptoKey(), 'TypeError');
  ok(crypto instanceof Crypto && crypto.subtle instanceof SubtleCrypto);
  ok(crypto.subtle === crypto.subtle);
});

test('members are for these objects alone', async () => {
  throws(() => crypto.randomUUID.call({}), 'TypeError');
  await rejects(crypto.subtle.digest.call({}, 'SHA-1', bytes('')), 'TypeError');
});
