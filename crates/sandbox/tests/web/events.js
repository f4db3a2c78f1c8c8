import { equal, ok, test, throws } from './harness.js';

test('an event has its type and options', () => {
  const event = new Event('click', { bubbles: true, cancelable: true, composed: true });
  equal([event.type, event.bubbles, event.cancelable, event.composed], ['click', true, true, true]);
  equal([event.target, event.currentTarget, event.eventPhase, event.isTrusted], [null, null, 0, false]);
  equal(typeof event.timeStamp, 'number');
  equal(event.composedPath(), []);
});

test('an event needs a type', () => {
  throws(() => new Event(), 'TypeError');
  throws(() => new Event('x', 5), 'TypeError');
  equal(new Event(undefined).type, 'undefined');
  equal(new Event('x', null).bubbles, false);
});

test('phases are constants', () => {
  equal([Event.NONE, Event.CAPTURING_PHASE, Event.AT_TARGET, Event.BUBBLING_PHASE], [0, 1, 2, 3]);
});

test('phases are constants of an event too', 'sluice', () => {
  equal(new Event('x').AT_TARGET, 2);
});

test('a listener is called with the event, at the target', () => {
  const target = new EventTarget();
  const event = new Event('x');
  let seen;
  target.addEventListener('x', function (given) {
    seen = [given === event, this === target, given.target === target, given.currentTarget === target];
    seen.push(given.eventPhase, given.composedPath().length);
  });
  equal(target.dispatchEvent(event), true);
  equal(seen, [true, true, true, true, 2, 1]);
  equal([event.target === target, event.currentTarget, event.eventPhase], [true, null, 0]);
});

test('listeners are called in order, each once', () => {
  const target = new EventTarget();
  const seen = [];
  const first = () => seen.push(1);
  target.addEventListener('x', first);
  target.addEventListener('x', () => seen.push(2));
  target.addEventListener('x', first);
  target.dispatchEvent(new Event('x'));
  equal(seen, [1, 2]);
});

test('capture makes it another listener, and removal asks for the same', () => {
  const target = new EventTarget();
  let count = 0;
  const listener = () => count++;
  target.addEventListener('x', listener);
  target.addEventListener('x', listener, true);
  target.dispatchEvent(new Event('x'));
  equal(count, 2);
  target.removeEventListener('x', listener, { capture: true });
  target.dispatchEvent(new Event('x'));
  equal(count, 3);
  target.removeEventListener('x', listener);
  target.dispatchEvent(new Event('x'));
  equal(count, 3);
});

test('once is once', () => {
  const target = new EventTarget();
  let count = 0;
  target.addEventListener('x', () => {
    count++;
    target.dispatchEvent(new Event('x'));
  }, { once: true });
  target.dispatchEvent(new Event('x'));
  target.dispatchEvent(new Event('x'));
  equal(count, 1);
});

test('an object with handleEvent is a listener, asked at each event', () => {
  const target = new EventTarget();
  const seen = [];
  const listener = {
    handleEvent(event) {
      seen.push(event.type, this === listener);
    },
  };
  target.addEventListener('x', listener);
  target.dispatchEvent(new Event('x'));
  listener.handleEvent = () => seen.push('other');
  target.dispatchEvent(new Event('x'));
  equal(seen, ['x', true, 'other']);
});

test('preventDefault is for what can be canceled', () => {
  const target = new EventTarget();
  target.addEventListener('x', (event) => event.preventDefault());
  equal(target.dispatchEvent(new Event('x')), true);
  const event = new Event('x', { cancelable: true });
  equal(target.dispatchEvent(event), false);
  equal([event.defaultPrevented, event.returnValue], [true, false]);
});

test('a passive listener cannot prevent', 'sluice', () => {
  const target = new EventTarget();
  target.addEventListener('x', (event) => event.preventDefault(), { passive: true });
  equal(target.dispatchEvent(new Event('x', { cancelable: true })), true);
});

test('stopImmediatePropagation stops the others', () => {
  const target = new EventTarget();
  const seen = [];
  target.addEventListener('x', (event) => {
    seen.push(1);
    event.stopImmediatePropagation();
  });
  target.addEventListener('x', () => seen.push(2));
  target.dispatchEvent(new Event('x'));
  equal(seen, [1]);
});

test('stopPropagation does not stop the others of the target', () => {
  const target = new EventTarget();
  const seen = [];
  target.addEventListener('x', (event) => {
    event.stopPropagation();
    seen.push(event.cancelBubble);
  });
  target.addEventListener('x', () => seen.push(2));
  target.dispatchEvent(new Event('x'));
  equal(seen, [true, 2]);
});

test('a listener that is removed meanwhile is not called, one added is for the next event', () => {
  const target = new EventTarget();
  const seen = [];
  const removed = () => seen.push('removed');
  target.addEventListener('x', () => {
    seen.push('first');
    target.removeEventListener('x', removed);
    target.addEventListener('x', () => seen.push('added'));
  }, { once: true });
  target.addEventListener('x', removed);
  target.dispatchEvent(new Event('x'));
  equal(seen, ['first']);
  target.dispatchEvent(new Event('x'));
  equal(seen, ['first', 'added']);
});

test('what a listener throws stops nobody', 'sluice', () => {
  const target = new EventTarget();
  let count = 0;
  target.addEventListener('x', () => {
    throw new Error('of a listener');
  });
  target.addEventListener('x', () => count++);
  equal(target.dispatchEvent(new Event('x')), true);
  equal(count, 1);
});

test('an event cannot be dispatched while it is', () => {
  const target = new EventTarget();
  const event = new Event('x');
  let error;
  target.addEventListener('x', () => {
    try {
      target.dispatchEvent(event);
    } catch (thrown) {
      error = thrown;
    }
  });
  target.dispatchEvent(event);
  ok(error instanceof Error);
  target.dispatchEvent(event);
});

test('dispatchEvent wants an event', () => {
  throws(() => new EventTarget().dispatchEvent({ type: 'x' }), 'TypeError');
  throws(() => new EventTarget().dispatchEvent(), 'TypeError');
});

test('a listener of null is none', () => {
  const target = new EventTarget();
  equal(target.addEventListener('x', null), undefined);
  equal(target.removeEventListener('x', null), undefined);
  throws(() => target.addEventListener('x'), 'TypeError');
  throws(() => target.addEventListener('x', 'text'), 'TypeError');
});

test('a class can be an event target', () => {
  class Emitter extends EventTarget {
    emit(detail) {
      this.dispatchEvent(new CustomEvent('data', { detail }));
    }
  }
  const emitter = new Emitter();
  const seen = [];
  emitter.addEventListener('data', ({ detail }) => seen.push(detail));
  emitter.emit({ a: 1 });
  equal(seen, [{ a: 1 }]);
});

test('a CustomEvent has a detail, or null', () => {
  equal(new CustomEvent('x', { detail: 5 }).detail, 5);
  equal(new CustomEvent('x').detail, null);
  ok(new CustomEvent('x') instanceof Event);
  equal(Object.prototype.toString.call(new CustomEvent('x')), '[object CustomEvent]');
});

test('members are for these objects alone', () => {
  throws(() => Object.getOwnPropertyDescriptor(Event.prototype, 'type').get.call({}), 'TypeError');
  throws(() => EventTarget.prototype.dispatchEvent.call({}, new Event('x')), 'TypeError');
});

test('an event that is being dispatched is not made anew', 'sluice', () => {
  const target = new EventTarget();
  const event = new CustomEvent('one', { detail: 1 });
  target.addEventListener('one', () => event.initCustomEvent('two', true, true, 2));
  target.dispatchEvent(event);
  equal([event.type, event.bubbles, event.detail], ['one', false, 1]);
  event.initCustomEvent('two', true, true, 2);
  equal([event.type, event.bubbles, event.detail], ['two', true, 2]);
  throws(() => event.initCustomEvent(), 'TypeError');
});
