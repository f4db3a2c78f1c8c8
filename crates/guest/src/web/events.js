// Event, CustomEvent and EventTarget, by the DOM standard. There is no tree: an event has one target.
(function (native, web) {
  'use strict';

  const { now } = native;
  const { call } = Function.prototype;
  const invoke = call.call.bind(call);

  const NONE = 0;
  const AT_TARGET = 2;

  /** Looks into an event from this file. */
  let inside;

  class Event {
    #type;
    #state = {
      bubbles: false, cancelable: false, composed: false, target: null, phase: NONE, current: null, dispatching: false,
      initialized: true, stopped: false, stoppedAtOnce: false, canceled: false, passive: false, trusted: false,
      time: 0,
    };

    static {
      inside = (event) => event.#state;
      web.events = [(value) => #type in value];
    }

    constructor(type, init = undefined) {
      web.required(arguments.length, 1, 'Event');
      this.#type = `${type}`;
      const options = web.dictionary(init, 'Event: the second argument');
      const state = this.#state;
      state.bubbles = !!options.bubbles;
      state.cancelable = !!options.cancelable;
      state.composed = !!options.composed;
      state.time = now();
    }

    get type() { return this.#type; }
    get target() { return this.#state.target; }
    get srcElement() { return this.#state.target; }
    get currentTarget() { return this.#state.current; }
    get eventPhase() { return this.#state.phase; }
    get bubbles() { return this.#state.bubbles; }
    get cancelable() { return this.#state.cancelable; }
    get composed() { return this.#state.composed; }
    get isTrusted() { return this.#state.trusted; }
    get timeStamp() { return this.#state.time; }
    get defaultPrevented() { return this.#state.canceled; }

    get returnValue() { return !this.#state.canceled; }
    set returnValue(value) {
      if (!value) {
        this.preventDefault();
      }
    }

    get cancelBubble() { return this.#state.stopped; }
    set cancelBubble(value) {
      this.#state.stopped ||= !!value;
    }

    composedPath() {
      const { current } = this.#state;
      return current === null ? [] : [current];
    }

    stopPropagation() {
      this.#state.stopped = true;
    }

    stopImmediatePropagation() {
      this.#state.stopped = true;
      this.#state.stoppedAtOnce = true;
    }

    preventDefault() {
      const state = this.#state;
      if (state.cancelable && !state.passive) {
        state.canceled = true;
      }
    }

    initEvent(type, bubbles = false, cancelable = false) {
      web.required(arguments.length, 1, 'initEvent');
      const state = this.#state;
      if (!state.dispatching) {
        this.#type = `${type}`;
        state.bubbles = !!bubbles;
        state.cancelable = !!cancelable;
        state.stopped = state.stoppedAtOnce = state.canceled = state.trusted = false;
        state.target = null;
      }
    }
  }

  for (const [index, name] of ['NONE', 'CAPTURING_PHASE', 'AT_TARGET', 'BUBBLING_PHASE'].entries()) {
    for (const holder of [Event, Event.prototype]) {
      Object.defineProperty(holder, name, { value: index, enumerable: true });
    }
  }

  class CustomEvent extends Event {
    #detail;

    constructor(type, init = undefined) {
      web.required(arguments.length, 1, 'CustomEvent');
      super(type, init);
      const { detail } = web.dictionary(init, 'CustomEvent: the second argument');
      this.#detail = detail === undefined ? null : detail;
    }

    get detail() { return this.#detail; }

    initCustomEvent(type, bubbles = false, cancelable = false, detail = null) {
      web.required(arguments.length, 1, 'initCustomEvent');
      if (!inside(this).dispatching) {
        this.initEvent(type, bubbles, cancelable);
        this.#detail = detail;
      }
    }
  }

  class EventTarget {
    #listeners = [];

    static {
      web.events.push((value) => #listeners in value);
      web.listen = (target, listener) => {
        target.#listeners.push(listener);
      };
      web.unlisten = (target, listener) => target.#remove(listener);
      web.isHeard = (target, type) => target.#listeners.some((listener) => listener.type === type);
      web.dispatch = (target, event, trusted) => target.#dispatch(event, trusted);
    }

    // Takes no argument, and a class derived from it may give it some.
    constructor() {}

    addEventListener(type, callback, options = undefined) {
      web.required(arguments.length, 2, 'addEventListener');
      const name = `${type}`;
      const { capture, once, passive, signal } = flatten(options);
      if (signal !== undefined && !web.isSignal(signal)) {
        throw new TypeError('addEventListener: signal must be an AbortSignal');
      }
      if (!isCallback(callback, 'addEventListener') || signal?.aborted || this.#find(name, callback, capture) >= 0) {
        return;
      }
      const listener = { type: name, callback, capture, once, passive, removed: false };
      this.#listeners.push(listener);
      if (signal !== undefined) {
        web.onAbort(signal, () => this.#remove(listener));
      }
    }

    removeEventListener(type, callback, options = undefined) {
      web.required(arguments.length, 2, 'removeEventListener');
      const name = `${type}`;
      const capture = typeof options === 'object' && options !== null ? !!options.capture : !!options;
      if (isCallback(callback, 'removeEventListener')) {
        const index = this.#find(name, callback, capture);
        if (index >= 0) {
          this.#remove(this.#listeners[index]);
        }
      }
    }

    dispatchEvent(event) {
      web.required(arguments.length, 1, 'dispatchEvent');
      if (!(event instanceof Event)) {
        throw new TypeError('dispatchEvent: the argument must be an Event');
      }
      const state = inside(event);
      if (state.dispatching) {
        throw new DOMException('The event is already being dispatched', 'InvalidStateError');
      }
      return this.#dispatch(event, false);
    }

    #find(type, callback, capture) {
      return this.#listeners.findIndex((l) => l.type === type && l.callback === callback && l.capture === capture);
    }

    #remove(listener) {
      const index = this.#listeners.indexOf(listener);
      listener.removed = true;
      if (index >= 0) {
        this.#listeners.splice(index, 1);
      }
    }

    #dispatch(event, trusted) {
      const state = inside(event);
      state.trusted = trusted;
      state.dispatching = true;
      state.target = state.current = this;
      state.phase = AT_TARGET;
      // Listeners that capture come first, even at the target. Those added meanwhile wait for the next event.
      const { type } = event;
      const called = this.#listeners.filter((l) => l.type === type);
      for (const capture of [true, false]) {
        for (const listener of state.stopped ? [] : called) {
          if (listener.capture === capture && !listener.removed && !state.stoppedAtOnce) {
            if (listener.once) {
              this.#remove(listener);
            }
            state.passive = listener.passive;
            this.#call(listener.callback, event);
            state.passive = false;
          }
        }
      }
      state.phase = NONE;
      state.current = null;
      state.dispatching = state.stopped = state.stoppedAtOnce = false;
      return !state.canceled;
    }

    #call(callback, event) {
      // What a listener throws is reported and stops neither the others nor the one who dispatches.
      try {
        if (typeof callback === 'function') {
          invoke(callback, this, event);
        } else {
          const { handleEvent } = callback;
          if (typeof handleEvent !== 'function') {
            throw new TypeError('a listener must be a function or have the method handleEvent');
          }
          invoke(handleEvent, callback, event);
        }
      } catch (error) {
        web.report(error);
      }
    }
  }

  function isCallback(callback, what) {
    if (callback === null || callback === undefined) {
      return false;
    }
    if (typeof callback !== 'function' && typeof callback !== 'object') {
      throw new TypeError(`${what}: the listener must be a function or an object`);
    }
    return true;
  }

  function flatten(options) {
    if ((typeof options !== 'object' && typeof options !== 'function') || options === null) {
      return { capture: !!options, once: false, passive: false, signal: undefined };
    }
    return { capture: !!options.capture, once: !!options.once, passive: !!options.passive, signal: options.signal };
  }

  web.Event = Event;
  web.EventTarget = EventTarget;
  web.expose(Event);
  web.expose(CustomEvent);
  web.expose(EventTarget);
})
