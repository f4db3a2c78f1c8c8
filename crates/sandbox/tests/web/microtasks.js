import { equal, ok, test, throws } from './harness.js';

test('a microtask comes after what runs, in order', async () => {
  const seen = [];
  queueMicrotask(() => seen.push(1));
  queueMicrotask(() => seen.push(2));
  seen.push(0);
  await Promise.resolve();
  await Promise.resolve();
  equal(seen, [0, 1, 2]);
});

test('microtasks and promises share a queue', async () => {
  const seen = [];
  queueMicrotask(() => seen.push('a'));
  Promise.resolve().then(() => seen.push('b'));
  queueMicrotask(() => seen.push('c'));
  await new Promise((resolve) => setTimeout(resolve, 1));
  equal(seen, ['a', 'b', 'c']);
});

test('microtasks of microtasks come before timers', async () => {
  const seen = [];
  const done = new Promise((resolve) => {
    setTimeout(() => {
      seen.push('timer');
      resolve();
    }, 0);
  });
  queueMicrotask(() => queueMicrotask(() => queueMicrotask(() => seen.push('deep'))));
  await done;
  equal(seen, ['deep', 'timer']);
});

test('a microtask is a function', () => {
  throws(() => queueMicrotask(), 'TypeError');
  throws(() => queueMicrotask('code'), 'TypeError');
  equal(queueMicrotask(() => {}), undefined);
});

test('await takes its place in the queue', async () => {
  const seen = [];
  const one = (async () => {
    seen.push(1);
    await null;
    seen.push(3);
  })();
  seen.push(2);
  await one;
  equal(seen, [1, 2, 3]);
  ok(true);
});
