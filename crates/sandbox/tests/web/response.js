import { equal, ok, rejects, test, throws } from './harness.js';

test('a response is one of 200 without a body', async () => {
  const response = new Response();
  equal([response.status, response.statusText, response.ok, response.type], [200, '', true, 'default']);
  equal([response.url, response.redirected, response.body, response.bodyUsed], ['', false, null, false]);
  equal(await response.text(), '');
  equal(await response.text(), '');
  equal(response.bodyUsed, false);
});

test('a response has a status, a text and headers', () => {
  const response = new Response('x', { status: 404, statusText: 'Not There', headers: { a: '1' } });
  equal([response.status, response.statusText, response.ok, response.headers.get('a')], [404, 'Not There', false, '1']);
});

test('a status is from 200 to 599', () => {
  for (const status of [0, 100, 199, 600, 1000]) {
    throws(() => new Response(null, { status }), 'RangeError');
  }
  equal(new Response(null, { status: 599 }).status, 599);
  equal(new Response(null, { status: '201' }).status, 201);
});

test('a status without a body has none', () => {
  for (const status of [204, 205, 304]) {
    throws(() => new Response('x', { status }), 'TypeError');
    throws(() => new Response('', { status }), 'TypeError');
    equal(new Response(null, { status }).status, status);
  }
});

test('the status text has no line breaks', () => {
  throws(() => new Response(null, { statusText: 'a\nb' }), 'TypeError');
  throws(() => new Response(null, { statusText: '€' }), 'TypeError');
});

test('a body has a type where it is text or a form', async () => {
  equal(new Response('x').headers.get('content-type'), 'text/plain;charset=UTF-8');
  equal(new Response(new URLSearchParams('a=b')).headers.get('content-type'),
    'application/x-www-form-urlencoded;charset=UTF-8');
  equal(new Response(new Uint8Array(1)).headers.get('content-type'), null);
  equal(new Response('x', { headers: { 'content-type': 'text/html' } }).headers.get('content-type'), 'text/html');
  equal(await new Response(12).text(), '12');
});

test('text is read as UTF-8, without its mark', async () => {
  equal(await new Response(new Uint8Array([0xef, 0xbb, 0xbf, 0xc3, 0xa9, 0xff])).text(), 'é\ufffd');
  equal(await new Response('\ud800').text(), '\ufffd');
});

test('json is read, and what is none is a SyntaxError', async () => {
  equal(await new Response('{"a":[1,null]}').json(), { a: [1, null] });
  await rejects(new Response('{').json(), 'SyntaxError');
  await rejects(new Response().json(), 'SyntaxError');
});

test('bytes are read', async () => {
  equal(await new Response(new Uint8Array([1, 2, 3]).subarray(1)).arrayBuffer(), new Uint8Array([2, 3]).buffer);
  equal((await new Response().arrayBuffer()).byteLength, 0);
});

test('bytes are read as a Uint8Array', 'sluice', async () => {
  equal(await new Response('ab').bytes(), new Uint8Array([97, 98]));
});

test('a body is used once', async () => {
  const response = new Response('x');
  equal(await response.text(), 'x');
  equal(response.bodyUsed, true);
  await rejects(response.text(), 'TypeError');
  await rejects(response.json(), 'TypeError');
  throws(() => response.clone(), 'TypeError');
});

test('a body that is no JSON is used all the same', async () => {
  const response = new Response('{');
  await rejects(response.json(), 'SyntaxError');
  equal(response.bodyUsed, true);
});

test('a clone has its own body and headers', async () => {
  const response = new Response('x', { status: 201, headers: { a: '1' } });
  const clone = response.clone();
  clone.headers.set('a', '2');
  equal([response.headers.get('a'), clone.status], ['1', 201]);
  equal([await response.text(), await clone.text()], ['x', 'x']);
});

test('what one clone does to its bytes is not the other\'s', async () => {
  const response = new Response('abc');
  const clone = response.clone();
  new Uint8Array(await response.arrayBuffer()).fill(0);
  equal(await clone.text(), 'abc');
});

test('Response.json makes one', async () => {
  const response = Response.json({ a: 1 }, { status: 201, headers: { b: '2' } });
  equal([response.status, response.headers.get('content-type'), response.headers.get('b')],
    [201, 'application/json', '2']);
  equal(await response.json(), { a: 1 });
  equal(Response.json(1, { headers: { 'content-type': 'application/problem+json' } }).headers.get('content-type'),
    'application/problem+json');
});

test('Response.json refuses what has no JSON', () => {
  throws(() => Response.json(undefined), 'TypeError');
  throws(() => Response.json(() => {}), 'TypeError');
  throws(() => Response.json(Symbol('x')), 'TypeError');
  throws(() => Response.json(1, { status: 204 }), 'TypeError');
});

test('Response.error is an error', async () => {
  const response = Response.error();
  equal([response.type, response.status, response.ok], ['error', 0, false]);
  throws(() => response.headers.set('a', '1'), 'TypeError');
});

test('Response.redirect leads elsewhere', () => {
  const response = Response.redirect('https://example.com/a b');
  equal([response.status, response.headers.get('location')], [302, 'https://example.com/a%20b']);
  equal(Response.redirect('https://example.com/', 308).status, 308);
  throws(() => response.headers.set('a', '1'), 'TypeError');
  throws(() => Response.redirect('https://example.com/', 200), 'RangeError');
  throws(() => Response.redirect('relative'), 'TypeError');
});

test('a clone of what cannot be changed cannot either', () => {
  throws(() => Response.redirect('https://example.com/').clone().headers.set('a', '1'), 'TypeError');
});

test('streams, blobs and forms are refused by name', 'sluice', async () => {
  throws(() => new Response('x').body, 'NotSupportedError', 'text()');
  await rejects(new Response('x').blob(), 'NotSupportedError');
  await rejects(new Response('x').formData(), 'NotSupportedError', 'await response.text()');
});

test('members are for these objects alone', async () => {
  throws(() => Object.getOwnPropertyDescriptor(Response.prototype, 'status').get.call({}), 'TypeError');
  await rejects(Response.prototype.json.call({}), 'TypeError');
  equal(Object.prototype.toString.call(new Response()), '[object Response]');
  ok(Object.getOwnPropertyDescriptor(Response.prototype, 'text').enumerable);
});
