// Sluice's own; the runner provides the secret API_KEY, counters and kv.
import { equal, ok, rejects, test, throws } from './harness.js';

test('a secret is had at once', 'sluice', () => {
  equal(secrets.get('API_KEY'), 's3cret-value');
});

test('a secret that is not declared is denied', 'sluice', () => {
  const error = throws(() => secrets.get('OTHER'), 'CapabilityDeniedError', 'OTHER');
  ok(error instanceof Error);
  equal(error.capability, 'secrets.get');
});

test('a secret\'s name is text', 'sluice', () => {
  throws(() => secrets.get(), 'TypeError');
  throws(() => secrets.get(5), 'TypeError');
});

test('a counter allows up to its limit', 'sluice', async () => {
  const take = () => counters.take('key', { limit: 2, window_s: 60 });
  equal(await take(), { allowed: true, remaining: 1, retry_after_s: 0 });
  equal(await take(), { allowed: true, remaining: 0, retry_after_s: 0 });
  const refused = await take();
  equal([refused.allowed, refused.remaining], [false, 0]);
  ok(refused.retry_after_s > 0);
});

test('counters of two keys are two', 'sluice', async () => {
  const taken = await Promise.all(['a', 'b', 'a'].map((key) => counters.take(key, { limit: 1, window_s: 60 })));
  equal(taken.map(({ allowed }) => allowed), [true, true, false]);
});

test('the key is the one that is given, whatever the options say', 'sluice', async () => {
  await counters.take('mine', { limit: 1, window_s: 60, key: 'other' });
  equal((await counters.take('other', { limit: 1, window_s: 60 })).allowed, true);
});

test('options that cannot be are a TypeError', 'sluice', async () => {
  await rejects(counters.take('key', { limit: 0, window_s: 60 }), 'TypeError', 'limit');
  await rejects(counters.take('key'), 'TypeError');
  await rejects(counters.take(5, { limit: 1, window_s: 60 }), 'TypeError');
  await rejects(counters.take('key', { limit: 1n, window_s: 60 }), 'TypeError');
});

test('kv keeps a value', 'sluice', async () => {
  const value = { a: [1, null, 'ä"\n'], b: { c: true } };
  equal(await kv.set('key', value, { ttl_s: 60 }), undefined);
  equal(await kv.get('key'), value);
  equal(await kv.set('key', 'text', { ttl_s: 60 }), undefined);
  equal(await kv.get('key'), 'text');
});

test('kv answers null for what is not there', 'sluice', async () => {
  equal(await kv.get('missing'), null);
  await kv.set('nothing', null, { ttl_s: 1 });
  equal(await kv.get('nothing'), null);
});

test('kv forgets what is deleted', 'sluice', async () => {
  await kv.set('gone', 1, { ttl_s: 60 });
  equal(await kv.delete('gone'), undefined);
  equal(await kv.get('gone'), null);
  equal(await kv.delete('gone'), undefined);
});

test('kv keeps what JSON makes of a value', 'sluice', async () => {
  await kv.set('date', { at: new Date(0), skipped: undefined }, { ttl_s: 60 });
  equal(await kv.get('date'), { at: '1970-01-01T00:00:00.000Z' });
});

test('kv refuses what has no JSON', 'sluice', async () => {
  const cyclic = {};
  cyclic.self = cyclic;
  for (const value of [undefined, () => {}, Symbol('x'), 1n, cyclic, { toJSON() {} }]) {
    await rejects(kv.set('key', value, { ttl_s: 60 }), 'TypeError');
  }
});

test('kv wants a time to live', 'sluice', async () => {
  await rejects(kv.set('key', 1), 'TypeError', 'ttl_s');
  await rejects(kv.set('key', 1, {}), 'TypeError', 'ttl_s');
  await rejects(kv.set('key', 1, { ttl: 60 }), 'TypeError', 'ttl_s');
  await rejects(kv.set('key', 1, { ttl_s: '60' }), 'TypeError', 'ttl_s');
  await rejects(kv.set('key', 1, { ttl_s: -1 }), 'TypeError', 'ttl_s');
  await rejects(kv.set('key', 1, { ttl_s: 86_401 }), 'TypeError', 'ttl_s');
});

test('a key is text', 'sluice', async () => {
  await rejects(kv.get(5), 'TypeError');
  await rejects(kv.set(null, 1, { ttl_s: 1 }), 'TypeError');
  await rejects(kv.delete(), 'TypeError');
});
