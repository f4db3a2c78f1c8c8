// Headers, by the Fetch standard.
(function (native, web) {
  'use strict';

  const { ownKeys } = Reflect;
  const { getOwnPropertyDescriptor } = Object;
  const test = web.uncurry(RegExp.prototype.test);
  const lower = web.uncurry(String.prototype.toLowerCase);

  const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
  const BAD_VALUE = /[\0\r\n]/;
  const OUTER_SPACE = /^[\t\n\r ]+|[\t\n\r ]+$/g;
  const WIDE = /[^\0-\xff]/;
  /** What nearly all values are, which need no other look. */
  const PLAIN_VALUE = /^[!-~](?:[ -~]*[!-~])?$/;

  const unfit = (message) => web.unfit('request_refused', message);

  const nameOf = (given) => {
    const name = `${given}`;
    if (!test(NAME, name)) {
      throw unfit(`Headers: '${name}' is not a header's name`);
    }
    return lower(name);
  };

  const valueOf = (given) => {
    const text = `${given}`;
    if (test(PLAIN_VALUE, text)) {
      return text;
    }
    if (test(WIDE, text)) {
      throw unfit('Headers: a value must have only characters up to U+00FF');
    }
    const value = text.replace(OUTER_SPACE, '');
    if (test(BAD_VALUE, value)) {
      throw unfit('Headers: a value cannot have a line break or a NUL');
    }
    return value;
  };

  class Headers {
    /** Each [name, value] in lower case, in the order in which they came. */
    #list = [];
    #immutable = false;
    /** The list as an iteration shows it, until it changes. */
    #sorted = undefined;

    static {
      web.isHeaders = (value) => typeof value === 'object' && value !== null && #list in value;
      web.brands.push(web.isHeaders);
      web.headerList = (headers) => headers.#list;
      web.freezeHeaders = (headers) => {
        headers.#immutable = true;
        return headers;
      };
      web.copyHeaders = (headers) => {
        const copy = new Headers();
        copy.#list = [...headers.#list];
        copy.#immutable = headers.#immutable;
        return copy;
      };
      // Headers of what the host answers, which it has checked.
      web.headersOf = (list) => {
        const headers = new Headers();
        headers.#list = list.map(([name, value]) => [lower(name), value]);
        return headers;
      };
      web.iterable(Headers, (headers) => headers.#show());
    }

    constructor(init = undefined) {
      if (init === undefined) {
        return;
      }
      if ((typeof init !== 'object' && typeof init !== 'function') || init === null) {
        throw unfit('Headers: the argument must be an object, or a sequence of pairs');
      }
      const iterate = init[Symbol.iterator];
      if (iterate === undefined || iterate === null) {
        // All are read before any is checked, as a record of WebIDL is.
        const entries = [];
        for (const key of ownKeys(init)) {
          if (getOwnPropertyDescriptor(init, key)?.enumerable) {
            entries.push([`${key}`, `${init[key]}`]);
          }
        }
        for (const [name, value] of entries) {
          this.append(name, value);
        }
        return;
      }
      const entries = [];
      for (const pair of init) {
        if ((typeof pair !== 'object' && typeof pair !== 'function') || pair === null) {
          throw unfit('Headers: each pair must be a sequence of a name and a value');
        }
        entries.push([...pair]);
      }
      for (const entry of entries) {
        if (entry.length !== 2) {
          throw unfit('Headers: each pair must have a name and a value');
        }
        this.append(entry[0], entry[1]);
      }
    }

    #show() {
      if (this.#sorted === undefined) {
        const combined = new Map();
        const cookies = [];
        for (const [name, value] of this.#list) {
          if (name === 'set-cookie') {
            cookies.push([name, value]);
          } else {
            const before = combined.get(name);
            combined.set(name, before === undefined ? value : `${before}, ${value}`);
          }
        }
        this.#sorted = [...combined, ...cookies].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      }
      return this.#sorted;
    }

    #change(list) {
      if (this.#immutable) {
        throw new TypeError('Headers: these cannot be changed');
      }
      this.#list = list;
      this.#sorted = undefined;
    }

    append(name, value) {
      web.required(arguments.length, 2, 'append');
      const [key, text] = [nameOf(name), valueOf(value)];
      this.#change(this.#list);
      this.#list.push([key, text]);
    }

    delete(name) {
      web.required(arguments.length, 1, 'delete');
      const key = nameOf(name);
      this.#change(this.#list.filter(([n]) => n !== key));
    }

    get(name) {
      web.required(arguments.length, 1, 'get');
      const key = nameOf(name);
      const values = this.#list.filter(([n]) => n === key).map(([, v]) => v);
      return values.length === 0 ? null : values.join(', ');
    }

    getSetCookie() {
      return this.#list.filter(([n]) => n === 'set-cookie').map(([, v]) => v);
    }

    has(name) {
      web.required(arguments.length, 1, 'has');
      const key = nameOf(name);
      return this.#list.some(([n]) => n === key);
    }

    set(name, value) {
      web.required(arguments.length, 2, 'set');
      const [key, text] = [nameOf(name), valueOf(value)];
      this.#change(this.#list);
      const at = this.#list.findIndex(([n]) => n === key);
      if (at < 0) {
        this.#list.push([key, text]);
      } else {
        this.#list = this.#list.filter(([n], index) => index <= at || n !== key);
        this.#list[at] = [key, text];
      }
    }
  }

  web.expose(Headers);
  web.Headers = Headers;
})
