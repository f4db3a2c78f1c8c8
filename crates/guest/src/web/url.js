// URL and URLSearchParams, by the URL standard. Parsing and serialising is the host's; here are the objects.
(function (native, web) {
  'use strict';

  const { url_parse: parseUrl, url_set: setUrl, form_parse: parseForm, form_serialize: serializeForm } = native;
  const [HREF, PROTOCOL, USERNAME, PASSWORD, HOST, HOSTNAME, PORT, PATHNAME, SEARCH, HASH, ORIGIN] = Array(11).keys();
  const { ownKeys } = Reflect;
  const { getOwnPropertyDescriptor } = Object;

  function pairs(flat) {
    const list = [];
    for (let index = 0; index < flat.length; index += 2) {
      list.push([flat[index], flat[index + 1]]);
    }
    return list;
  }

  let attach;
  let reset;

  class URLSearchParams {
    #list = [];
    /** What is told of a change: the URL that these are the parameters of. */
    #changed = undefined;

    static {
      attach = (params, changed) => {
        params.#changed = changed;
      };
      reset = (params, text) => {
        params.#list = pairs(parseForm(text));
      };
      web.isParams = (value) => typeof value === 'object' && value !== null && #list in value;
      web.brands.push(web.isParams);
      web.iterable(URLSearchParams, (params) => params.#list);
    }

    constructor(init = '') {
      if ((typeof init === 'object' && init !== null) || typeof init === 'function') {
        const iterate = init[Symbol.iterator];
        if (iterate === undefined || iterate === null) {
          this.#record(init);
        } else {
          for (const pair of init) {
            if ((typeof pair !== 'object' && typeof pair !== 'function') || pair === null) {
              throw new TypeError('URLSearchParams: each pair must be a sequence of a name and a value');
            }
            const items = [...pair];
            if (items.length !== 2) {
              throw new TypeError('URLSearchParams: each pair must have a name and a value');
            }
            this.#list.push([web.text(items[0]), web.text(items[1])]);
          }
        }
      } else {
        const text = web.text(init);
        reset(this, text.startsWith('?') ? text.slice(1) : text);
      }
    }

    #record(object) {
      const values = new Map();
      for (const key of ownKeys(object)) {
        if (getOwnPropertyDescriptor(object, key)?.enumerable) {
          // A symbol is refused here, as WebIDL says.
          values.set(web.text(key), web.text(object[key]));
        }
      }
      this.#list = [...values];
    }

    #change() {
      this.#changed?.(this.toString());
    }

    get size() { return this.#list.length; }

    append(name, value) {
      web.required(arguments.length, 2, 'append');
      this.#list.push([web.text(name), web.text(value)]);
      this.#change();
    }

    delete(name, value = undefined) {
      web.required(arguments.length, 1, 'delete');
      const [key, wanted] = [web.text(name), value === undefined ? undefined : web.text(value)];
      this.#list = this.#list.filter(([n, v]) => n !== key || (wanted !== undefined && v !== wanted));
      this.#change();
    }

    get(name) {
      web.required(arguments.length, 1, 'get');
      const key = web.text(name);
      const pair = this.#list.find(([n]) => n === key);
      return pair === undefined ? null : pair[1];
    }

    getAll(name) {
      web.required(arguments.length, 1, 'getAll');
      const key = web.text(name);
      return this.#list.filter(([n]) => n === key).map(([, v]) => v);
    }

    has(name, value = undefined) {
      web.required(arguments.length, 1, 'has');
      const [key, wanted] = [web.text(name), value === undefined ? undefined : web.text(value)];
      return this.#list.some(([n, v]) => n === key && (wanted === undefined || v === wanted));
    }

    set(name, value) {
      web.required(arguments.length, 2, 'set');
      const [key, text] = [web.text(name), web.text(value)];
      const first = this.#list.find(([n]) => n === key);
      if (first === undefined) {
        this.#list.push([key, text]);
      } else {
        first[1] = text;
        this.#list = this.#list.filter((pair) => pair === first || pair[0] !== key);
      }
      this.#change();
    }

    sort() {
      // By code units, as strings compare; those of one name keep their order.
      this.#list.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      this.#change();
    }

    toString() {
      return serializeForm(this.#list.flat());
    }
  }

  class URL {
    #parts;
    #params = undefined;

    static {
      web.brands.push((value) => #parts in value);
    }

    constructor(url, base = undefined) {
      web.required(arguments.length, 1, 'URL');
      this.#parts = parseUrl(web.text(url), base === undefined ? undefined : web.text(base));
      if (this.#parts === undefined) {
        throw new TypeError('Invalid URL');
      }
    }

    static canParse(url, base = undefined) {
      web.required(arguments.length, 1, 'URL.canParse');
      return parseUrl(web.text(url), base === undefined ? undefined : web.text(base)) !== undefined;
    }

    static parse(url, base = undefined) {
      web.required(arguments.length, 1, 'URL.parse');
      const [input, from] = [web.text(url), base === undefined ? undefined : web.text(base)];
      return parseUrl(input, from) === undefined ? null : new URL(input, from);
    }

    #set(part, value) {
      const parts = setUrl(this.#parts[HREF], part, web.text(value));
      if (parts !== undefined) {
        this.#parts = parts;
      }
      return parts !== undefined;
    }

    get href() { return this.#parts[HREF]; }
    set href(value) {
      if (!this.#set('href', value)) {
        throw new TypeError('Invalid URL');
      }
      this.#follow();
    }

    get origin() { return this.#parts[ORIGIN]; }

    get protocol() { return this.#parts[PROTOCOL]; }
    set protocol(value) {
      this.#set('protocol', value);
    }

    get username() { return this.#parts[USERNAME]; }
    set username(value) {
      this.#set('username', value);
    }

    get password() { return this.#parts[PASSWORD]; }
    set password(value) {
      this.#set('password', value);
    }

    get host() { return this.#parts[HOST]; }
    set host(value) {
      this.#set('host', value);
    }

    get hostname() { return this.#parts[HOSTNAME]; }
    set hostname(value) {
      this.#set('hostname', value);
    }

    get port() { return this.#parts[PORT]; }
    set port(value) {
      this.#set('port', value);
    }

    get pathname() { return this.#parts[PATHNAME]; }
    set pathname(value) {
      this.#set('pathname', value);
    }

    get search() { return this.#parts[SEARCH]; }
    set search(value) {
      this.#set('search', value);
      this.#follow();
    }

    get searchParams() {
      const parts = this.#parts;
      if (this.#params === undefined) {
        this.#params = new URLSearchParams();
        reset(this.#params, parts[SEARCH].slice(1));
        attach(this.#params, (text) => this.#set('search', text));
      }
      return this.#params;
    }

    get hash() { return this.#parts[HASH]; }
    set hash(value) {
      this.#set('hash', value);
    }

    /** The parameters follow the query. */
    #follow() {
      if (this.#params !== undefined) {
        reset(this.#params, this.#parts[SEARCH].slice(1));
      }
    }

    toJSON() {
      return this.#parts[HREF];
    }

    toString() {
      return this.#parts[HREF];
    }
  }

  web.expose(URL);
  web.expose(URLSearchParams);
  web.parseUrl = parseUrl;
})
