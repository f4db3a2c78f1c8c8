// AbortController and AbortSignal, by the DOM standard.
(function (native, web) {
  'use strict';

  const { Event, EventTarget } = web;

  let abort;

  class AbortSignal extends EventTarget {
    #aborted = false;
    #reason = undefined;
    /** What the platform does on abort, before any listener hears of it. */
    #steps = new Set();
    /** For a signal of `any`: those it follows, never others of `any`. */
    #sources = new Set();
    /** Those of `any` that follow this one, in the order in which they were made. */
    #dependents = new Set();
    #composite = false;
    #handler = null;
    /** The listener that calls the handler, while there is one. */
    #listener = undefined;

    static {
      abort = (signal, reason) => signal.#abort(reason);
      web.isSignal = (value) => typeof value === 'object' && value !== null && #steps in value;
      // Has something done on abort; answers how to take it back.
      web.onAbort = (signal, step) => {
        const own = () => step();
        signal.#steps.add(own);
        return () => signal.#steps.delete(own);
      };
    }

    constructor(key = undefined) {
      web.guard(key);
      super();
    }

    static abort(reason = undefined) {
      const signal = new AbortSignal(web.key);
      signal.#aborted = true;
      signal.#reason = reason === undefined ? aborted() : reason;
      return signal;
    }

    static timeout(milliseconds) {
      web.required(arguments.length, 1, 'AbortSignal.timeout');
      const ms = Math.trunc(+milliseconds);
      if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) {
        throw new TypeError('AbortSignal.timeout: the time must be a whole number of milliseconds');
      }
      web.refuseEarly('AbortSignal.timeout');
      const signal = new AbortSignal(web.key);
      // Made now: a timer has no author's code on the stack.
      const reason = new DOMException('The operation was aborted due to timeout', 'TimeoutError');
      web.after(ms, () => signal.#abort(reason), () => signal.#isHeard());
      return signal;
    }

    static any(signals) {
      web.required(arguments.length, 1, 'AbortSignal.any');
      if ((typeof signals !== 'object' && typeof signals !== 'function') || signals === null) {
        throw new TypeError('AbortSignal.any: the argument must be a sequence of AbortSignals');
      }
      const sources = [...signals];
      for (const source of sources) {
        if (!web.isSignal(source)) {
          throw new TypeError('AbortSignal.any: each must be an AbortSignal');
        }
      }
      const signal = new AbortSignal(web.key);
      for (const source of sources) {
        if (source.#aborted) {
          signal.#aborted = true;
          signal.#reason = source.#reason;
          return signal;
        }
      }
      signal.#composite = true;
      for (const source of sources) {
        for (const origin of source.#composite ? source.#sources : [source]) {
          signal.#sources.add(origin);
          origin.#dependents.add(signal);
        }
      }
      return signal;
    }

    get aborted() { return this.#aborted; }
    get reason() { return this.#reason; }

    throwIfAborted() {
      if (this.#aborted) {
        throw this.#reason;
      }
    }

    get onabort() { return this.#handler; }
    set onabort(value) {
      this.#handler = typeof value === 'function' || (typeof value === 'object' && value !== null) ? value : null;
      if (this.#handler === null) {
        if (this.#listener !== undefined) {
          web.unlisten(this, this.#listener);
          this.#listener = undefined;
        }
      } else if (this.#listener === undefined) {
        // It keeps its place among the listeners for as long as it is set.
        const callback = (event) => {
          if (typeof this.#handler === 'function') {
            this.#handler.call(this, event);
          }
        };
        this.#listener = { type: 'abort', callback, capture: false, once: false, passive: false, removed: false };
        web.listen(this, this.#listener);
      }
    }

    /** Whether anything would come of an abort but that it is said. */
    #isHeard() {
      return web.isHeard(this, 'abort') || [...this.#dependents].some((dependent) => web.isHeard(dependent, 'abort'));
    }

    #abort(reason) {
      if (this.#aborted) {
        return;
      }
      this.#aborted = true;
      this.#reason = reason === undefined ? aborted() : reason;
      const all = [this];
      for (const dependent of this.#dependents) {
        if (!dependent.#aborted) {
          dependent.#aborted = true;
          dependent.#reason = this.#reason;
          all.push(dependent);
        }
      }
      this.#dependents.clear();
      for (const signal of all) {
        const steps = [...signal.#steps];
        signal.#steps.clear();
        for (const step of steps) {
          step();
        }
        web.dispatch(signal, new Event('abort'), true);
      }
    }
  }

  class AbortController {
    #signal = new AbortSignal(web.key);

    get signal() { return this.#signal; }

    abort(reason = undefined) {
      abort(this.#signal, reason);
    }
  }

  function aborted() {
    return new DOMException('This operation was aborted', 'AbortError');
  }

  web.expose(AbortSignal);
  web.expose(AbortController);
  web.AbortSignal = AbortSignal;
})
