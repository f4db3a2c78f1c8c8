// What a module may not do while it is being evaluated for its snapshot: all of this is tried at the top level.
import { equal, ok, test } from './harness.js';

const SYNC = {
  setTimeout: () => setTimeout(() => {}, 1),
  setInterval: () => setInterval(() => {}, 1),
  'AbortSignal.timeout': () => AbortSignal.timeout(1),
  'crypto.getRandomValues': () => crypto.getRandomValues(new Uint8Array(1)),
  'crypto.randomUUID': () => crypto.randomUUID(),
  'secrets.get': () => secrets.get('API_KEY'),
};
const ASYNC = {
  fetch: () => fetch('https://echo.example/'),
  'counters.take': () => counters.take('key', { limit: 1, window_s: 1 }),
  'kv.get': () => kv.get('key'),
  'kv.set': () => kv.set('key', 1, { ttl_s: 1 }),
  'kv.delete': () => kv.delete('key'),
  'crypto.subtle.generateKey': () => crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, true, ['sign']),
};
const thrown = {};
const inNode = typeof process === 'object';
if (!inNode) {
  for (const [what, call] of Object.entries(SYNC)) {
    try {
      call();
    } catch (error) {
      thrown[what] = error;
    }
  }
  for (const [what, call] of Object.entries(ASYNC)) {
    call().catch((error) => {
      thrown[what] = error;
    });
  }
}

for (const what of [...Object.keys(SYNC), ...Object.keys(ASYNC)]) {
  test(`${what} is denied at the top level`, 'sluice', () => {
    equal(thrown[what]?.name, 'CapabilityDeniedError');
    equal(thrown[what].message, `${what} cannot be used while a module is being evaluated: call it in execute`);
  });
}

const made = {
  url: new URL('https://example.com/?a=1'),
  headers: new Headers({ a: '1' }),
  request: new Request('https://example.com/'),
  controller: new AbortController(),
  encoder: new TextEncoder(),
  response: new Response('text'),
};
const digest = crypto.subtle.digest('SHA-1', new Uint8Array(0));

test('what is made at the top level is used in a run', async () => {
  equal(made.url.searchParams.get('a'), '1');
  equal(made.headers.get('a'), '1');
  equal(made.request.method, 'GET');
  equal(made.encoder.encode('a').length, 1);
  equal(await made.response.clone().text(), 'text');
  made.controller.signal.throwIfAborted();
});

test('what needs neither host nor chance is there at the top level', async () => {
  equal((await digest).byteLength, 20);
  ok(structuredClone(made.headers.get('a')) === '1');
});
