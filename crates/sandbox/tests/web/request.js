import { equal, ok, rejects, test, throws } from './harness.js';

const URL_ = 'https://example.com/a?b#c';
const post = (body, init) => new Request(URL_, { method: 'POST', body, ...init });

test('a request has a URL and is a GET', () => {
  const request = new Request(URL_);
  equal([request.url, request.method, request.redirect, request.bodyUsed], [URL_, 'GET', 'follow', false]);
  equal(request.body, null);
  ok(request.headers instanceof Headers && request.signal instanceof AbortSignal);
  equal(request.signal.aborted, false);
  equal(new Request(new URL(URL_)).url, URL_);
});

test('a URL is brought to its form', () => {
  equal(new Request('HTTPS://EXAMPLE.com').url, 'https://example.com/');
});

test('a URL must be absolute, and have no password', () => {
  throws(() => new Request('/a'), 'TypeError');
  throws(() => new Request('https://user:pass@example.com/'), 'TypeError');
  throws(() => new Request(), 'TypeError');
});

test('a URL must be absolute, and the error says so', 'sluice', () => {
  throws(() => new Request('/a'), 'TypeError', 'absolute');
  throws(() => new Request('https://u@example.com/'), 'TypeError', 'authorization');
});

test('known methods are written large, others are left', () => {
  const methodOf = (method) => new Request(URL_, { method }).method;
  equal(['get', 'Post', 'pUT', 'delete', 'head', 'options'].map(methodOf),
    ['GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS']);
  equal(methodOf('PATCH'), 'PATCH');
  equal(methodOf('chicken'), 'chicken');
});

test('some methods are forbidden, and a method is a token', () => {
  for (const method of ['CONNECT', 'trace', 'TRACK', 'a b', '']) {
    throws(() => new Request(URL_, { method }), 'TypeError');
  }
});

test('a body has a type where it is text or a form', async () => {
  const text = post('text');
  equal([text.headers.get('content-type'), await text.text()], ['text/plain;charset=UTF-8', 'text']);
  const form = post(new URLSearchParams({ a: 'b c' }));
  equal(form.headers.get('content-type'), 'application/x-www-form-urlencoded;charset=UTF-8');
  equal(await form.text(), 'a=b+c');
  const bytes = post(new Uint8Array([104, 105]));
  equal([bytes.headers.get('content-type'), await bytes.text()], [null, 'hi']);
});

test('a content-type that is given stays', () => {
  const request = post('{}', { headers: { 'Content-Type': 'application/json' } });
  equal(request.headers.get('content-type'), 'application/json');
});

test('a body is a copy of the bytes that it was made of', async () => {
  const bytes = new Uint8Array([97, 98, 99, 100]);
  const request = post(bytes.subarray(1, 3));
  bytes.fill(0);
  equal(await request.text(), 'bc');
  equal(await post(new Uint8Array([120]).buffer).text(), 'x');
});

test('GET and HEAD have no body', () => {
  throws(() => new Request(URL_, { body: 'x' }), 'TypeError');
  throws(() => new Request(URL_, { method: 'HEAD', body: '' }), 'TypeError');
  equal(new Request(URL_, { body: null }).body, null);
});

test('a body is used once', async () => {
  const request = post('{"a":1}');
  equal(request.bodyUsed, false);
  equal(await request.json(), { a: 1 });
  equal(request.bodyUsed, true);
  await rejects(request.text(), 'TypeError');
  throws(() => request.clone(), 'TypeError');
  throws(() => new Request(request), 'TypeError');
});

test('a body is used from when it is asked for', () => {
  const request = post('x');
  request.text();
  equal(request.bodyUsed, true);
});

test('a request can be made of another', async () => {
  const first = post('body', { headers: { 'X-A': '1' }, redirect: 'manual' });
  const second = new Request(first);
  equal([second.url, second.method, second.redirect, second.headers.get('x-a')], [URL_, 'POST', 'manual', '1']);
  equal(first.bodyUsed, true);
  equal(await second.text(), 'body');
});

test('a request made of another takes what is given', async () => {
  const first = post('body', { headers: { a: '1' } });
  const second = new Request(first, { method: 'PUT', headers: { b: '2' }, body: 'new' });
  equal([second.method, second.headers.get('a'), second.headers.get('b')], ['PUT', null, '2']);
  equal(await second.text(), 'new');
  equal(await first.text(), 'body');
});

test('a clone has the same, and its own body', async () => {
  const request = post('body', { headers: { a: '1' } });
  const clone = request.clone();
  clone.headers.set('a', '2');
  equal(request.headers.get('a'), '1');
  equal([await request.text(), await clone.text()], ['body', 'body']);
  equal(clone.method, 'POST');
});

test('the headers are the request\'s own', () => {
  const headers = new Headers({ a: '1' });
  const request = new Request(URL_, { headers });
  headers.set('a', '2');
  equal(request.headers.get('a'), '1');
});

test('the signal follows the one that was given', () => {
  const controller = new AbortController();
  const request = new Request(URL_, { signal: controller.signal });
  const second = new Request(request);
  const clone = request.clone();
  controller.abort('why');
  equal([request, second, clone].map(({ signal }) => [signal.aborted, signal.reason]),
    [[true, 'why'], [true, 'why'], [true, 'why']]);
  equal(new Request(request, { signal: null }).signal.aborted, false);
  throws(() => new Request(URL_, { signal: {} }), 'TypeError');
});

test('options are words', () => {
  throws(() => new Request(URL_, { redirect: 'sometimes' }), 'TypeError');
  throws(() => new Request(URL_, { mode: 'navigate' }), 'TypeError');
  throws(() => new Request(URL_, { credentials: 'all' }), 'TypeError');
  throws(() => new Request(URL_, 5), 'TypeError');
  const request = new Request(URL_, { mode: 'cors', credentials: 'omit', cache: 'no-store', keepalive: true });
  equal([request.mode, request.credentials, request.cache, request.keepalive], ['cors', 'omit', 'no-store', true]);
});

test('the rest is as it is by default', () => {
  const request = new Request(URL_);
  equal([request.credentials, request.cache, request.integrity, request.keepalive, request.referrer, request.mode],
    ['same-origin', 'default', '', false, 'about:client', 'cors']);
  equal([request.destination, request.duplex, request.referrerPolicy], ['', 'half', '']);
});

test('bytes come as a buffer, or an array', async () => {
  equal(await post('ab').arrayBuffer(), new Uint8Array([97, 98]).buffer);
});

test('bytes come as a Uint8Array', 'sluice', async () => {
  equal(await post('ab').bytes(), new Uint8Array([97, 98]));
});

test('streams, blobs and forms are refused by name', 'sluice', async () => {
  const request = post('x');
  throws(() => request.body, 'NotSupportedError', 'text()');
  await rejects(request.blob(), 'NotSupportedError', 'arrayBuffer()');
  await rejects(request.formData(), 'NotSupportedError', 'URLSearchParams(await request.text())');
  equal(request.bodyUsed, false);
});

test('members are for these objects alone', async () => {
  throws(() => Object.getOwnPropertyDescriptor(Request.prototype, 'url').get.call({}), 'TypeError');
  await rejects(Request.prototype.text.call({}), 'TypeError');
  equal(Object.prototype.toString.call(new Request(URL_)), '[object Request]');
});
