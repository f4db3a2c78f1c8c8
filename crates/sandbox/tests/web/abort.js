import { equal, ok, rejects, test, throws } from './harness.js';

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test('a signal is not aborted at first', () => {
  const { signal } = new AbortController();
  ok(signal instanceof AbortSignal);
  ok(signal instanceof EventTarget);
  equal(signal.aborted, false);
  equal(signal.reason, undefined);
  equal(signal.throwIfAborted(), undefined);
});

test('abort without a reason gives an AbortError', () => {
  const controller = new AbortController();
  controller.abort();
  equal(controller.signal.aborted, true);
  ok(controller.signal.reason instanceof DOMException);
  equal(controller.signal.reason.name, 'AbortError');
  equal(controller.signal.reason.code, 20);
});

test('abort takes any reason, and only the first counts', () => {
  const controller = new AbortController();
  controller.abort('one');
  controller.abort('two');
  equal(controller.signal.reason, 'one');
  const other = new AbortController();
  other.abort(null);
  equal(other.signal.reason, null);
});

test('throwIfAborted throws the reason itself', () => {
  const reason = new RangeError('mine');
  const signal = AbortSignal.abort(reason);
  ok(throws(() => signal.throwIfAborted(), 'RangeError') === reason);
});

test('listeners hear of an abort once', () => {
  const controller = new AbortController();
  const seen = [];
  controller.signal.addEventListener('abort', (event) => seen.push(event.type, event.target === controller.signal));
  controller.abort();
  controller.abort();
  equal(seen, ['abort', true]);
});

test('onabort is a listener that keeps its place', () => {
  const controller = new AbortController();
  const { signal } = controller;
  const seen = [];
  equal(signal.onabort, null);
  signal.onabort = () => seen.push('replaced');
  signal.addEventListener('abort', () => seen.push('listener'));
  signal.onabort = () => seen.push('handler');
  controller.abort();
  equal(seen, ['handler', 'listener']);
  signal.onabort = null;
  equal(signal.onabort, null);
});

test('onabort that was taken away and is set again goes to the end', 'sluice', () => {
  const controller = new AbortController();
  const { signal } = controller;
  const seen = [];
  signal.onabort = () => seen.push('first');
  signal.addEventListener('abort', () => seen.push('listener'));
  signal.onabort = null;
  signal.onabort = () => seen.push('again');
  controller.abort();
  equal(seen, ['listener', 'again']);
});

test('onabort of what is no object is null', 'sluice', () => {
  const { signal } = new AbortController();
  signal.onabort = () => {};
  signal.onabort = 5;
  equal(signal.onabort, null);
});

test('the event of an abort is trusted', () => {
  const controller = new AbortController();
  let event;
  controller.signal.onabort = (given) => {
    event = given;
  };
  controller.abort();
  equal([event.isTrusted, event.bubbles, event.cancelable], [true, false, false]);
});

test('a signal cannot be constructed', () => {
  throws(() => new AbortSignal(), 'TypeError', 'Illegal constructor');
});

test('AbortSignal.abort makes one that is aborted', () => {
  equal(AbortSignal.abort().reason.name, 'AbortError');
  equal(AbortSignal.abort('why').reason, 'why');
});

test('AbortSignal.timeout aborts with a TimeoutError', async () => {
  const signal = AbortSignal.timeout(5);
  equal(signal.aborted, false);
  await sleep(40);
  equal(signal.aborted, true);
  equal(signal.reason.name, 'TimeoutError');
  equal(signal.reason.code, 23);
});

test('AbortSignal.timeout wants a number that can be', () => {
  throws(() => AbortSignal.timeout(), TypeError);
  throws(() => AbortSignal.timeout(-1), Error);
});

test('any of none is never aborted', () => {
  equal(AbortSignal.any([]).aborted, false);
});

test('any of one that is aborted is aborted with its reason', () => {
  const signal = AbortSignal.any([new AbortController().signal, AbortSignal.abort('b'), AbortSignal.abort('c')]);
  equal([signal.aborted, signal.reason], [true, 'b']);
});

test('any follows the first that aborts', () => {
  const [one, two] = [new AbortController(), new AbortController()];
  const signal = AbortSignal.any([one.signal, two.signal]);
  let count = 0;
  signal.onabort = () => count++;
  two.abort('second');
  one.abort('first');
  equal([signal.aborted, signal.reason, count], [true, 'second', 1]);
});

test('any of any follows the origins', () => {
  const controller = new AbortController();
  const signal = AbortSignal.any([AbortSignal.any([controller.signal])]);
  const seen = [];
  controller.signal.addEventListener('abort', () => seen.push('origin', signal.aborted));
  signal.addEventListener('abort', () => seen.push('dependent'));
  controller.abort('x');
  equal(signal.reason, 'x');
  equal(seen[0], 'origin');
  equal(seen.at(-1), 'dependent');
});

test('dependents are aborted before the first event', 'sluice', () => {
  const controller = new AbortController();
  const dependent = AbortSignal.any([controller.signal]);
  let seen;
  controller.signal.addEventListener('abort', () => {
    seen = dependent.aborted;
  });
  controller.abort();
  equal(seen, true);
});

test('any wants signals', () => {
  throws(() => AbortSignal.any(), TypeError);
  throws(() => AbortSignal.any([{}]), TypeError);
  throws(() => AbortSignal.any(5), TypeError);
});

test('a listener with a signal goes when it aborts', () => {
  const target = new EventTarget();
  const controller = new AbortController();
  let count = 0;
  target.addEventListener('x', () => count++, { signal: controller.signal });
  target.dispatchEvent(new Event('x'));
  controller.abort();
  target.dispatchEvent(new Event('x'));
  equal(count, 1);
});

test('a listener with a signal that is aborted is never there', () => {
  const target = new EventTarget();
  let count = 0;
  target.addEventListener('x', () => count++, { signal: AbortSignal.abort() });
  target.dispatchEvent(new Event('x'));
  equal(count, 0);
});

test('a time limit that somebody hears of is waited for', 'sluice', async () => {
  await new Promise((resolve) => AbortSignal.timeout(5).addEventListener('abort', resolve));
  await new Promise((resolve) => {
    AbortSignal.any([AbortSignal.timeout(5), new AbortController().signal]).onabort = resolve;
  });
});

test('a promise can be given up by a signal', async () => {
  const controller = new AbortController();
  const work = new Promise((_, reject) => {
    controller.signal.addEventListener('abort', () => reject(controller.signal.reason));
  });
  controller.abort(new Error('enough'));
  await rejects(work, 'Error', 'enough');
});
