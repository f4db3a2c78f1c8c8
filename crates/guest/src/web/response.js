// Response, by the Fetch standard.
(function (native, web) {
  'use strict';

  const { Headers, stringify } = web;

  const NULL_BODY = [101, 103, 204, 205, 304];
  const REDIRECTS = [301, 302, 303, 307, 308];
  const REASON = /^[\t\x20-\x7e\x80-\xff]*$/;

  class Response {
    #type = 'default';
    #url = '';
    #redirected = false;
    #status = 200;
    #statusText = '';
    #headers;
    #body = null;

    static {
      web.brands.push((value) => #body in value);
      // The response that the host got. No body at all is an empty one, unless the status has none.
      web.received = (answer, bytes, method) => {
        const response = new Response();
        response.#type = 'basic';
        response.#url = answer.url.split('#', 1)[0];
        response.#redirected = answer.redirected;
        response.#status = answer.status;
        response.#statusText = answer.statusText;
        response.#headers = web.freezeHeaders(web.headersOf(answer.headers));
        if (method !== 'HEAD' && !NULL_BODY.includes(answer.status)) {
          response.#body = web.bodyOf(bytes ?? new ArrayBuffer(0));
        }
        return response;
      };
      web.mixBody(Response, (response) => response.#body);
    }

    constructor(body = null, init = undefined) {
      this.#initialize(init, body === null ? undefined : web.extract(body));
    }

    #initialize(init, content) {
      const { headers, status, statusText } = web.dictionary(init, 'Response: the second argument');
      // As an `unsigned short` of WebIDL.
      const code = status === undefined ? 200 : +status & 0xffff;
      if (code < 200 || code > 599) {
        throw new RangeError(`Response: the status ${code} is not one from 200 to 599`);
      }
      const reason = statusText === undefined ? '' : `${statusText}`;
      if (!REASON.test(reason)) {
        throw new TypeError('Response: the statusText has a character that it cannot have');
      }
      this.#status = code;
      this.#statusText = reason;
      this.#headers = new Headers(headers);
      if (content !== undefined) {
        if (NULL_BODY.includes(code)) {
          throw new TypeError(`Response: one with the status ${code} cannot have a body`);
        }
        const [body, type] = content;
        this.#body = body;
        if (type !== undefined && !this.#headers.has('content-type')) {
          this.#headers.append('content-type', type);
        }
      }
      return this;
    }

    static error() {
      const response = new Response();
      response.#type = 'error';
      response.#status = 0;
      web.freezeHeaders(response.#headers);
      return response;
    }

    static json(data, init = undefined) {
      web.required(arguments.length, 1, 'Response.json');
      const text = stringify(data);
      if (text === undefined) {
        throw new TypeError('Response.json: the value has no JSON');
      }
      return new Response().#initialize(init, [web.extract(text)[0], 'application/json']);
    }

    static redirect(url, status = 302) {
      web.required(arguments.length, 1, 'Response.redirect');
      const parts = web.parseUrl(web.text(url), undefined);
      if (parts === undefined) {
        throw new TypeError('Response.redirect: the URL must be absolute');
      }
      const code = +status & 0xffff;
      if (!REDIRECTS.includes(code)) {
        throw new RangeError(`Response.redirect: ${code} is not the status of a redirect: ${REDIRECTS.join(', ')}`);
      }
      const response = new Response();
      response.#status = code;
      response.#headers.append('location', parts[0]);
      web.freezeHeaders(response.#headers);
      return response;
    }

    get type() { return this.#type; }
    get url() { return this.#url; }
    get redirected() { return this.#redirected; }
    get status() { return this.#status; }
    get ok() { return this.#status >= 200 && this.#status <= 299; }
    get statusText() { return this.#statusText; }
    get headers() { return this.#headers; }

    clone() {
      if (web.isUsed(this.#body)) {
        throw new TypeError('Response.clone: the body has already been used');
      }
      const clone = new Response();
      clone.#type = this.#type;
      clone.#url = this.#url;
      clone.#redirected = this.#redirected;
      clone.#status = this.#status;
      clone.#statusText = this.#statusText;
      clone.#headers = web.copyHeaders(this.#headers);
      clone.#body = web.teeBody(this.#body);
      return clone;
    }
  }

  web.expose(Response);
})
