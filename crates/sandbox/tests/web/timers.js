import { equal, ok, test, throws } from './harness.js';

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test('a timer is called later, with its arguments', async () => {
  const seen = [];
  await new Promise((resolve) => {
    setTimeout((...args) => {
      seen.push(...args);
      resolve();
    }, 1, 'a', 2);
    seen.push('first');
  });
  equal(seen, ['first', 'a', 2]);
});

test('timers are called in the order in which they are due', async () => {
  const seen = [];
  setTimeout(() => seen.push('c'), 30);
  setTimeout(() => seen.push('a'), 10);
  setTimeout(() => seen.push('b'), 20);
  await sleep(50);
  equal(seen, ['a', 'b', 'c']);
});

test('timers of one time are called in the order in which they were made', async () => {
  const seen = [];
  for (let index = 0; index < 5; index++) {
    setTimeout(() => seen.push(index), 5);
  }
  await sleep(20);
  equal(seen, [0, 1, 2, 3, 4]);
});

test('microtasks come before the next timer', async () => {
  const seen = [];
  setTimeout(() => {
    seen.push('timer 1');
    Promise.resolve().then(() => seen.push('microtask'));
  }, 1);
  setTimeout(() => seen.push('timer 2'), 1);
  await sleep(10);
  equal(seen, ['timer 1', 'microtask', 'timer 2']);
});

test('a timer that is cleared is not called', async () => {
  const seen = [];
  const id = setTimeout(() => seen.push('never'), 1);
  clearTimeout(id);
  await sleep(10);
  equal(seen, []);
});

test('a timer may clear one that is due at the same time', async () => {
  const seen = [];
  let second;
  setTimeout(() => {
    seen.push('first');
    clearTimeout(second);
  }, 1);
  second = setTimeout(() => seen.push('second'), 1);
  await sleep(10);
  equal(seen, ['first']);
});

test('clearing what is no timer does nothing', () => {
  clearTimeout();
  clearTimeout(undefined);
  clearTimeout(null);
  clearTimeout(-1);
  clearTimeout(123456);
  clearInterval(NaN);
});

test('an interval is called again and again, until it is cleared', async () => {
  let count = 0;
  const id = setInterval(() => {
    if (++count === 3) {
      clearInterval(id);
    }
  }, 2);
  await sleep(50);
  equal(count, 3);
});

test('an interval has its arguments, and clearTimeout ends it', async () => {
  const seen = [];
  const id = setInterval((value) => {
    seen.push(value);
    clearTimeout(id);
  }, 1, 'x');
  await sleep(20);
  equal(seen, ['x']);
});

test('timers can set timers', async () => {
  const seen = [];
  await new Promise((resolve) => {
    setTimeout(() => {
      seen.push(1);
      setTimeout(() => {
        seen.push(2);
        resolve();
      }, 0);
    }, 0);
  });
  equal(seen, [1, 2]);
});

test('a delay that makes no sense is none', async () => {
  const seen = [];
  setTimeout(() => seen.push('nan'), NaN);
  setTimeout(() => seen.push('negative'), -5);
  setTimeout(() => seen.push('text'), 'x');
  setTimeout(() => seen.push('none'));
  await sleep(10);
  equal(seen, ['nan', 'negative', 'text', 'none']);
});

test('a delay may be text with a number', async () => {
  const begun = performance.now();
  await new Promise((resolve) => setTimeout(resolve, '20'));
  ok(performance.now() - begun >= 18);
});

test('ids are positive whole numbers, and differ', 'sluice', () => {
  const ids = [setTimeout(() => {}), setInterval(() => {}, 1000), setTimeout(() => {}, 0)];
  ok(ids.every((id) => Number.isInteger(id) && id > 0));
  equal(new Set(ids).size, 3);
  ids.forEach(clearTimeout);
});

test('what is no function is refused', () => {
  throws(() => setTimeout('code', 1), 'TypeError');
  throws(() => setTimeout(undefined, 1), 'TypeError');
  throws(() => setInterval({}, 1), 'TypeError');
  throws(() => setTimeout(), 'TypeError');
});

test('this is the global object', 'sluice', async () => {
  const self = await new Promise((resolve) => {
    setTimeout(function () {
      resolve(this);
    }, 0);
  });
  ok(self === globalThis);
});

test('what a timer throws stops no other', 'sluice', async () => {
  const seen = [];
  setTimeout(() => {
    throw new Error('of a timer');
  }, 1);
  setTimeout(() => seen.push('next'), 1);
  await sleep(10);
  equal(seen, ['next']);
});

test('an interval goes on after what it threw', 'sluice', async () => {
  let count = 0;
  const id = setInterval(() => {
    count++;
    if (count === 2) {
      clearInterval(id);
    }
    throw new Error('of an interval');
  }, 1);
  await sleep(20);
  equal(count, 2);
});

test('a timer that sets itself over and over waits a little', 'sluice', async () => {
  const begun = performance.now();
  for (let index = 0; index < 10; index++) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  ok(performance.now() - begun < 100);
  let times = 0;
  await new Promise((resolve) => {
    const again = () => (++times === 10 ? resolve() : setTimeout(again, 0));
    again();
  });
  ok(performance.now() - begun >= 12);
});

test('a timer waits as long as it was told', async () => {
  const begun = performance.now();
  await sleep(25);
  const passed = performance.now() - begun;
  ok(passed >= 23 && passed < 400);
});
