import { equal, ok, test, throws } from './harness.js';

test('now goes forward, in fractions of milliseconds', () => {
  const first = performance.now();
  let second = performance.now();
  equal(typeof first, 'number');
  ok(first >= 0 && second >= first);
  while (second === first) {
    second = performance.now();
  }
  ok(second > first);
});

test('timeOrigin and now come to the time of day', () => {
  ok(Math.abs(performance.timeOrigin + performance.now() - Date.now()) < 1000);
});

test('timeOrigin stays as it is', async () => {
  const first = performance.timeOrigin;
  await new Promise((resolve) => setTimeout(resolve, 5));
  equal(performance.timeOrigin, first);
  equal(performance.toJSON().timeOrigin, first);
});

const early = typeof process === 'object' ? performance.timeOrigin : [performance.timeOrigin, performance.now()];

test('timeOrigin at the top level is of its clock, and is not kept', 'sluice', () => {
  equal(early, [Date.UTC(2026, 0, 1), 0]);
  ok(Math.abs(performance.timeOrigin + performance.now() - Date.now()) < 1000);
});

test('toJSON has the origin', () => {
  const json = performance.toJSON();
  equal(typeof json.timeOrigin, 'number');
  ok(JSON.stringify(performance).includes('timeOrigin'));
});

test('performance is an object of its class', () => {
  equal(Object.prototype.toString.call(performance), '[object Performance]');
  ok(performance instanceof EventTarget);
});

test('members are for this object alone', 'sluice', () => {
  throws(() => performance.now.call({}), 'TypeError');
  throws(() => new Performance(), 'TypeError');
});

test('now begins near nothing', 'sluice', () => {
  ok(performance.now() < 10_000);
});
