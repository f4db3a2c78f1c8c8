// setTimeout and setInterval, by the HTML standard ("timers"). The glue asks when the next one is due, waits, and has
// it called.
(function (native, web) {
  'use strict';

  const { now } = native;
  const { ownKeys } = Reflect;

  /** The timers in the order in which they are due; those that were cleared stay until they come to the front. */
  const queue = [];
  const active = new Map();
  let lastId = 0;
  /** How deep the timer that is being called was set by timers. */
  let level = 0;

  // A timer that sets timers over and over waits at least this long, so that it does not spin.
  const DEEP = 5;
  const DEEP_MIN_MS = 4;

  function insert(timer) {
    let low = 0;
    let high = queue.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (queue[middle].due <= timer.due) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    queue.splice(low, 0, timer);
  }

  function schedule(timer) {
    const delay = timer.level > DEEP && timer.delay < DEEP_MIN_MS ? DEEP_MIN_MS : timer.delay;
    timer.due = now() + delay;
    insert(timer);
  }

  function add(callback, delay, repeat) {
    const timer = {
      id: ++lastId, callback, delay, repeat, level: level + 1, due: 0, live: true, isHeard: undefined,
    };
    active.set(timer.id, timer);
    schedule(timer);
    return timer;
  }

  function clear(timer) {
    if (timer !== undefined) {
      timer.live = false;
      active.delete(timer.id);
    }
  }

  function set(what, handler, delay, args, repeat) {
    web.refuseEarly(what);
    if (typeof handler !== 'function') {
      throw new TypeError(`${what}: the handler must be a function (code in a string is not run)`);
    }
    // As a `long` of WebIDL: what does not fit in 32 bits comes round, as in a browser.
    const ms = delay | 0;
    return add(() => handler.apply(globalThis, args), ms < 0 ? 0 : ms, repeat).id;
  }

  function front() {
    while (queue.length > 0 && !queue[0].live) {
      queue.shift();
    }
    return queue[0];
  }

  /** When the next one is due; nothing where none of them could change anything any more. */
  web.next_timer = () => {
    const first = front();
    return first !== undefined && (web.isWaiting() || queue.some(matters)) ? first.due : undefined;
  };

  function matters(timer) {
    return timer.live && (timer.isHeard === undefined || timer.isHeard());
  }

  /** Calls the timer that is due first. The caller has waited for it. */
  web.fire = () => {
    const timer = front();
    if (timer === undefined) {
      return;
    }
    queue.shift();
    if (!timer.repeat) {
      clear(timer);
    }
    level = timer.level;
    try {
      timer.callback();
    } finally {
      level = 0;
      if (timer.live) {
        timer.level++;
        schedule(timer);
      }
    }
  };

  /**
   * A timer of the platform's own, without an id that an author could guess right. A run does not wait for it alone while
   * nobody hears of it.
   */
  web.after = (ms, callback, isHeard) => {
    const timer = add(callback, ms, false);
    timer.isHeard = isHeard;
    active.delete(timer.id);
  };

  const timers = {
    setTimeout(handler, delay = undefined, ...args) {
      web.required(arguments.length, 1, 'setTimeout');
      return set('setTimeout', handler, delay, args, false);
    },

    setInterval(handler, delay = undefined, ...args) {
      web.required(arguments.length, 1, 'setInterval');
      return set('setInterval', handler, delay, args, true);
    },

    clearTimeout(id = undefined) {
      clear(active.get(id | 0));
    },

    clearInterval(id = undefined) {
      clear(active.get(id | 0));
    },
  };

  for (const name of ownKeys(timers)) {
    web.define(name, timers[name]);
  }
})
