// performance, navigator, self and reportError: the small globals of the web.
(function (native, web) {
  'use strict';

  const { frozen, now } = native;
  const { now: clock } = Date;

  /** When the run began, once it was asked for. What a top level is told is not kept: the run has another. */
  let origin;

  class Performance extends web.EventTarget {
    #brand;

    constructor(key = undefined) {
      web.guard(key);
      super();
    }

    get timeOrigin() {
      this.#brand;
      if (frozen()) {
        return clock();
      }
      origin ??= clock() - now();
      return origin;
    }

    now() {
      this.#brand;
      return now();
    }

    toJSON() {
      return { timeOrigin: this.timeOrigin };
    }
  }

  class Navigator {
    #brand;

    constructor(key = undefined) {
      web.guard(key);
    }

    get userAgent() {
      this.#brand;
      return 'sluice';
    }
  }

  const { reportError } = {
    reportError(error) {
      web.required(arguments.length, 1, 'reportError');
      web.report(error);
    },
  };

  web.expose(Performance);
  web.expose(Navigator);
  web.define('performance', new Performance(web.key));
  web.define('navigator', new Navigator(web.key));
  web.define('self', globalThis);
  web.define('reportError', reportError);
})
