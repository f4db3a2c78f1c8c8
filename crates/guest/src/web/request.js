// Request, by the Fetch standard.
(function (native, web) {
  'use strict';

  const { AbortSignal, Headers, parseUrl } = web;
  const { freeze } = Object;

  const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
  const NORMALIZED = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'POST', 'PUT'];
  const FORBIDDEN = ['CONNECT', 'TRACE', 'TRACK'];

  const unfit = (message) => web.unfit('request_refused', message);

  /** What is read, answered, and without effect otherwise; `redirect` alone has one. */
  const WORDS = {
    mode: ['same-origin', 'no-cors', 'cors', 'navigate'],
    credentials: ['omit', 'same-origin', 'include'],
    cache: ['default', 'no-store', 'reload', 'no-cache', 'force-cache', 'only-if-cached'],
    redirect: ['follow', 'error', 'manual'],
    referrerPolicy: [
      '', 'no-referrer', 'no-referrer-when-downgrade', 'same-origin', 'origin', 'strict-origin',
      'origin-when-cross-origin', 'strict-origin-when-cross-origin', 'unsafe-url',
    ],
    duplex: ['half'],
    priority: ['high', 'low', 'auto'],
  };
  const DEFAULTS = freeze({
    mode: 'cors', credentials: 'same-origin', cache: 'default', redirect: 'follow', referrerPolicy: '', integrity: '',
    keepalive: false, referrer: 'about:client',
  });

  function methodOf(given) {
    const method = `${given}`;
    if (!TOKEN.test(method)) {
      throw unfit(`Request: '${method}' is not a method`);
    }
    const upper = method.toUpperCase();
    if (FORBIDDEN.includes(upper)) {
      throw unfit(`Request: the method ${upper} is forbidden`);
    }
    return NORMALIZED.includes(upper) ? upper : method;
  }

  function urlOf(input) {
    const parts = parseUrl(input, undefined);
    if (parts === undefined) {
      // Its text is not shown, here and in URL: URLs of webhooks are secrets, and messages are logged.
      throw web.unfit('url_refused', 'Request: the URL is none; it must be absolute, as https://example.com/');
    }
    if (parts[2] !== '' || parts[3] !== '') {
      throw web.unfit('url_refused', 'Request: a URL cannot have a user and a password; use the header authorization');
    }
    return parts[0];
  }

  class Request {
    #url;
    #method = 'GET';
    #headers;
    #body = null;
    #options = DEFAULTS;
    /** The author's signal, and the request's own, made where somebody asks for it. */
    #follows = undefined;
    #signal = undefined;

    static {
      web.isRequest = (value) => typeof value === 'object' && value !== null && #body in value;
      web.brands.push(web.isRequest);
      // For fetch: what is to be sent, taking the body.
      web.sending = (request) => {
        const body = request.#body;
        if (web.isUsed(body)) {
          throw unfit('fetch: the body of this Request has already been used');
        }
        if (body !== null) {
          body.used = true;
        }
        return {
          url: request.#url, method: request.#method, headers: web.headerList(request.#headers), body: body?.bytes,
          redirect: request.#options.redirect, signal: request.#signal ?? request.#follows,
        };
      };
      web.mixBody(Request, (request) => request.#body);
    }

    constructor(input, init = undefined) {
      web.required(arguments.length, 1, 'Request');
      const from = web.isRequest(input) ? input : undefined;
      const options = web.dictionary(init, 'Request: the second argument', unfit);
      if (from === undefined) {
        this.#url = urlOf(web.text(input));
      } else {
        this.#url = from.#url;
        this.#method = from.#method;
        this.#options = from.#options;
        this.#follows = from.#signal ?? from.#follows;
      }
      const { body, headers, method, signal, window } = options;
      if (window !== undefined && window !== null) {
        throw unfit('Request: window must be null');
      }
      this.#read(options);
      if (method !== undefined) {
        this.#method = methodOf(method);
      }
      if (signal !== undefined) {
        if (signal !== null && !web.isSignal(signal)) {
          throw unfit('Request: signal must be an AbortSignal');
        }
        this.#follows = signal ?? undefined;
      }
      this.#headers = new Headers(headers === undefined ? from?.#headers : headers);
      const given = body !== undefined && body !== null;
      if ((given || (from !== undefined && from.#body !== null)) && ['GET', 'HEAD'].includes(this.#method)) {
        throw unfit('Request: a request with the method GET or HEAD cannot have a body');
      }
      if (given) {
        const [extracted, type] = web.extract(body);
        this.#body = extracted;
        if (type !== undefined && !this.#headers.has('content-type')) {
          this.#headers.append('content-type', type);
        }
      } else if (from !== undefined && from.#body !== null) {
        if (web.isUsed(from.#body)) {
          throw unfit('Request: the body of the other Request has already been used');
        }
        this.#body = web.teeBody(from.#body);
        from.#body.used = true;
      }
    }

    /** Reads the options that are words, and the few others. */
    #read(options) {
      let read;
      const set = (name, value) => {
        read ??= { ...this.#options };
        read[name] = value;
      };
      for (const name of ['cache', 'credentials', 'duplex', 'mode', 'priority', 'redirect', 'referrerPolicy']) {
        const value = options[name];
        if (value !== undefined) {
          const word = web.word(value, WORDS[name], `Request: ${name}`, unfit);
          if (name === 'mode' && word === 'navigate') {
            throw unfit(`Request: the mode 'navigate' is the browser's own`);
          }
          set(name, word);
        }
      }
      const { integrity, keepalive, referrer } = options;
      if (integrity !== undefined && `${integrity}` !== '') {
        throw unfit('Request: integrity is not supported: compare crypto.subtle.digest of the body yourself');
      }
      if (keepalive !== undefined) {
        set('keepalive', !!keepalive);
      }
      if (referrer !== undefined) {
        const text = web.text(referrer);
        set('referrer', text === '' ? text : urlOf(text));
      }
      if (read !== undefined) {
        this.#options = read;
      }
    }

    get url() { return this.#url; }
    get method() { return this.#method; }
    get headers() { return this.#headers; }
    get destination() { return (this.#body, ''); }
    get referrer() { return this.#options.referrer; }
    get referrerPolicy() { return this.#options.referrerPolicy; }
    get mode() { return this.#options.mode; }
    get credentials() { return this.#options.credentials; }
    get cache() { return this.#options.cache; }
    get redirect() { return this.#options.redirect; }
    get integrity() { return this.#options.integrity; }
    get keepalive() { return this.#options.keepalive; }
    get isReloadNavigation() { return (this.#body, false); }
    get isHistoryNavigation() { return (this.#body, false); }
    get duplex() { return (this.#body, 'half'); }

    get signal() {
      this.#signal ??= AbortSignal.any(this.#follows === undefined ? [] : [this.#follows]);
      return this.#signal;
    }

    clone() {
      if (web.isUsed(this.#body)) {
        throw unfit('Request.clone: the body has already been used');
      }
      const clone = new Request(this.#url);
      clone.#method = this.#method;
      clone.#headers = new Headers(this.#headers);
      clone.#options = this.#options;
      clone.#body = web.teeBody(this.#body);
      clone.#follows = this.#signal ?? this.#follows;
      return clone;
    }
  }

  web.expose(Request);
  web.Request = Request;
})
