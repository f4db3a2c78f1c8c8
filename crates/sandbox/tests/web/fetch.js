// Against a server that the runner provides; in Node there is none, so that all of these are Sluice's.
import { equal, ok, rejects, test } from './harness.js';

const ECHO = 'https://echo.example';
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const echo = async (path, init) => (await fetch(`${ECHO}${path}`, init)).json();

test('fetch gets', 'sluice', async () => {
  const response = await fetch(`${ECHO}/a`);
  ok(response instanceof Response);
  equal([response.status, response.ok, response.url, response.redirected], [200, true, `${ECHO}/a`, false]);
  equal([response.type, response.headers.get('content-type')], ['basic', 'application/json']);
  const { method, path, body } = await response.json();
  equal([method, path, body], ['GET', '/a', '']);
});

test('fetch takes a URL and a Request', 'sluice', async () => {
  equal((await echo('/x')).path, '/x');
  equal((await (await fetch(new URL('/y', ECHO))).json()).path, '/y');
  const request = new Request(`${ECHO}/z`, { method: 'PUT', body: 'b' });
  const got = await (await fetch(request)).json();
  equal([got.method, got.path, got.body], ['PUT', '/z', 'b']);
  equal(request.bodyUsed, true);
  await rejects(fetch(request), 'TypeError');
});

test('fetch sends methods, headers and bodies', 'sluice', async () => {
  const got = await echo('/', { method: 'post', headers: { 'X-One': '1', Accept: 'a' }, body: '{"ä":1}' });
  equal([got.method, got.headers['x-one'], got.headers.accept, got.body], ['POST', '1', 'a', '{"ä":1}']);
  equal(got.headers['content-type'], 'text/plain;charset=UTF-8');
});

test('fetch sends forms and bytes', 'sluice', async () => {
  const form = await echo('/', { method: 'POST', body: new URLSearchParams({ a: 'b c' }) });
  equal([form.headers['content-type'], form.body], ['application/x-www-form-urlencoded;charset=UTF-8', 'a=b+c']);
  const bytes = await echo('/', { method: 'POST', body: new TextEncoder().encode('xyz').subarray(1) });
  equal([bytes.headers['content-type'], bytes.body], [undefined, 'yz']);
});

test('a status that is no success is an answer', 'sluice', async () => {
  const response = await fetch(`${ECHO}/status/404`);
  equal([response.status, response.ok], [404, false]);
});

test('bytes come as they are', 'sluice', async () => {
  const bytes = new Uint8Array(await (await fetch(`${ECHO}/bytes`)).arrayBuffer());
  equal([bytes.length, bytes[0], bytes[128], bytes[255]], [256, 0, 128, 255]);
});

test('JSON comes as it is', 'sluice', async () => {
  const response = await fetch(`${ECHO}/json`);
  const clone = response.clone();
  ok(typeof (await response.json()) === 'object');
  ok((await clone.text()).startsWith('{'));
});

test('an answer of 204 has no body', 'sluice', async () => {
  const response = await fetch(`${ECHO}/empty`);
  equal([response.status, response.body, await response.text()], [204, null, '']);
});

test('an answer to HEAD has no body', 'sluice', async () => {
  equal((await fetch(`${ECHO}/json`, { method: 'HEAD' })).body, null);
});

test('headers of an answer are joined, and cannot be changed', 'sluice', async () => {
  const { headers } = await fetch(`${ECHO}/headers`);
  equal(headers.getSetCookie(), ['a=1', 'b=2']);
  await rejects(async () => headers.set('a', 'b'), 'TypeError');
});

test('a redirect is followed', 'sluice', async () => {
  const response = await fetch(`${ECHO}/redirect?to=/x`);
  equal([response.status, response.redirected, response.url], [200, true, `${ECHO}/x`]);
  equal((await response.json()).path, '/x');
});

test('a redirect can be an error, or an answer', 'sluice', async () => {
  await rejects(fetch(`${ECHO}/redirect?to=/x`, { redirect: 'error' }), 'TypeError', 'fetch failed');
  const response = await fetch(`${ECHO}/redirect?to=/x`, { redirect: 'manual' });
  equal(response.status, 302);
  ok(response.headers.get('location').endsWith('/x'));
});

test('a connection that fails is a TypeError with a cause', 'sluice', async () => {
  const error = await rejects(fetch('https://refused.example/'), 'TypeError', 'fetch failed: ');
  ok(error.cause instanceof Error);
  equal(error.cause.code, 'connect_failed');
});

test('the error of a fetch knows where it was called', 'sluice', async () => {
  const hereIAm = () => fetch('https://refused.example/');
  const error = await rejects(hereIAm(), 'TypeError');
  ok(error.stack.includes('hereIAm'));
});

test('a host that is not declared is denied', 'sluice', async () => {
  const error = await rejects(fetch('https://other.example/'), 'CapabilityDeniedError', 'other.example');
  ok(error instanceof Error);
  equal(error.capability, 'fetch');
});

test('an abort before a fetch rejects it', 'sluice', async () => {
  await rejects(fetch(`${ECHO}/`, { signal: AbortSignal.abort() }), 'AbortError');
  await rejects(fetch(`${ECHO}/`, { signal: AbortSignal.abort(new RangeError('mine')) }), 'RangeError', 'mine');
});

test('an abort during a fetch rejects it', 'sluice', async () => {
  const controller = new AbortController();
  const promise = fetch(`${ECHO}/slow`, { signal: controller.signal });
  setTimeout(() => controller.abort(), 5);
  await rejects(promise, 'AbortError');
});

test('a time limit is a signal', 'sluice', async () => {
  await rejects(fetch(`${ECHO}/slow`, { signal: AbortSignal.timeout(10) }), 'TimeoutError');
});

test('a Request\'s signal counts', 'sluice', async () => {
  const controller = new AbortController();
  const request = new Request(`${ECHO}/slow`, { signal: controller.signal });
  const promise = fetch(request);
  controller.abort('reason');
  equal(await promise.catch((reason) => reason), 'reason');
});

test('an abort after the answer changes nothing', 'sluice', async () => {
  const controller = new AbortController();
  const response = await fetch(`${ECHO}/json`, { signal: controller.signal });
  controller.abort();
  ok((await response.text()).length > 0);
});

test('fetches run side by side', 'sluice', async () => {
  const paths = ['/1', '/2', '/3', '/4'];
  equal((await Promise.all(paths.map((path) => echo(path)))).map(({ path }) => path), paths);
});

test('one that never answers holds no other', 'sluice', async () => {
  const slow = fetch(`${ECHO}/slow`);
  const first = await Promise.race([slow, fetch(`${ECHO}/json`)]);
  equal(first.status, 200);
  equal(await Promise.race([slow, sleep(5).then(() => 'slept')]), 'slept');
});

test('a URL must be absolute, and http', 'sluice', async () => {
  await rejects(fetch('/a'), 'TypeError', 'absolute');
  await rejects(fetch('ftp://echo.example/'), 'TypeError', 'ftp:');
  await rejects(fetch('data:,x'), 'TypeError', 'data:');
  await rejects(fetch(), 'TypeError');
});

test('headers of the message\'s frame are refused by name', 'sluice', async () => {
  for (const name of ['Host', 'content-length', 'Transfer-Encoding', 'connection', 'proxy-authorization', 'TE']) {
    await rejects(fetch(`${ECHO}/`, { headers: { [name]: 'x' } }), 'TypeError', name.toLowerCase());
  }
});

test('a GET with a body, and a forbidden method, are refused', 'sluice', async () => {
  await rejects(fetch(`${ECHO}/`, { body: 'x' }), 'TypeError');
  await rejects(fetch(`${ECHO}/`, { method: 'TRACE' }), 'TypeError', 'TRACE');
});

test('options without effect are accepted', 'sluice', async () => {
  const init = {
    mode: 'cors', credentials: 'include', cache: 'no-store', keepalive: true, referrer: '', referrerPolicy: 'origin',
    integrity: '', duplex: 'half', priority: 'high', signal: null, window: null,
  };
  equal((await echo('/o', init)).path, '/o');
});

const codeOf = async (...args) => {
  const error = await rejects(fetch(...args), 'TypeError');
  ok(error.cause instanceof Error);
  return error.cause.code;
};

test('what is wrong with a URL has a code', 'sluice', async () => {
  for (const url of ['/a', 'ftp://echo.example/', 'data:,x', 'https://user:secret@echo.example/', undefined]) {
    equal([url, await codeOf(url)], [url, 'url_refused']);
  }
  equal(await codeOf(`${ECHO}/${'x'.repeat(9000)}`), 'url_refused');
  ok(!(await rejects(fetch('https://user:secret@echo.example/'), 'TypeError')).message.includes('secret'));
});

test('what is wrong with a request has a code', 'sluice', async () => {
  const used = new Request(ECHO, { method: 'POST', body: 'x' });
  await used.text();
  const inits = [
    5, { method: 'TRACE' }, { method: 'a b' }, { body: 'x' }, { redirect: 'never' }, { headers: { host: 'x' } },
    { headers: { 'http2-settings': 'x' } }, { headers: { 'a b': 'x' } }, { headers: { a: 'x\ny' } }, { signal: {} },
    { method: 'POST', body: 'x'.repeat(70_000) }, { integrity: 'sha256-abc' },
  ];
  for (const [index, init] of inits.entries()) {
    // Each of the large ones counts as a request.
    equal([index, await codeOf(`${ECHO}/`, init)], [index, 'request_refused']);
  }
  equal(await codeOf(used), 'request_refused');
});

test('an integrity that nothing would check is refused', 'sluice', async () => {
  await rejects(fetch(`${ECHO}/`, { integrity: 'sha256-abc' }), 'TypeError', 'integrity is not supported');
  await rejects(async () => new Request(ECHO, { integrity: 'sha256-abc' }), 'TypeError', 'integrity');
  equal(new Request(ECHO, { integrity: '' }).integrity, '');
});

test('the fragment stays here', 'sluice', async () => {
  const response = await fetch(`${ECHO}/f#part`);
  equal(response.url, `${ECHO}/f`);
});

test('the sixth fetch of a run rejects', 'sluice', async () => {
  for (let count = 0; count < 5; count++) {
    await fetch(`${ECHO}/json`);
  }
  equal(await codeOf(`${ECHO}/json`), 'request_refused');
});
