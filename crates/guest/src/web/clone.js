// structuredClone, by the HTML standard ("safe passing of structured data"), in one pass: what is to be transferred is
// copied, and taken from its owner once all else has been cloned, so that a clone that fails has taken nothing.
(function (native, web) {
  'use strict';

  const { ArrayBuffer, DataView, Date, Map, RegExp, Set, Uint8Array } = globalThis;
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf, hasOwn, keys } = Object;
  const { isArray } = Array;
  const { isView } = ArrayBuffer;
  const { uncurry } = web;
  const getter = (prototype, name) => uncurry(getOwnPropertyDescriptor(prototype, name).get);

  const tagOf = uncurry(Object.prototype.toString);
  const boxes = [['Boolean', Boolean], ['Number', Number], ['String', String], ['BigInt', BigInt]];
  const valueOf = {};
  for (const [name, Class] of boxes) {
    valueOf[name] = uncurry(Class.prototype.valueOf);
  }
  const getTime = uncurry(Date.prototype.getTime);
  const { isError } = Error;
  const mapSize = getter(Map.prototype, 'size');
  const setSize = getter(Set.prototype, 'size');
  const bufferLength = getter(ArrayBuffer.prototype, 'byteLength');
  const mapForEach = uncurry(Map.prototype.forEach);
  const setForEach = uncurry(Set.prototype.forEach);
  const regExpSource = getter(RegExp.prototype, 'source');
  const regExpFlags = getter(RegExp.prototype, 'flags');
  const resizable = getter(ArrayBuffer.prototype, 'resizable');
  const maxByteLength = getter(ArrayBuffer.prototype, 'maxByteLength');
  const detached = getter(ArrayBuffer.prototype, 'detached');
  const transfer = uncurry(ArrayBuffer.prototype.transfer);
  const objectPrototype = Object.prototype;

  const errors = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
  const views = { DataView };
  for (const name of [
    'Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array', 'Int32Array', 'Uint32Array',
    'BigInt64Array', 'BigUint64Array', 'Float16Array', 'Float32Array', 'Float64Array',
  ]) {
    if (globalThis[name] !== undefined) {
      views[name] = globalThis[name];
    }
  }

  /** What cannot be cloned though it looks like an object: the language's own, and the platform's classes. */
  const refused = [Promise, WeakMap, WeakSet, WeakRef, FinalizationRegistry];
  if (globalThis.SharedArrayBuffer !== undefined) {
    refused.push(SharedArrayBuffer);
  }
  const iterators = [
    getPrototypeOf([][Symbol.iterator]()), getPrototypeOf(new Map().entries()), getPrototypeOf(new Set().values()),
    getPrototypeOf(function* () {}).prototype, getPrototypeOf(async function* () {}).prototype,
  ];
  const isPrototypeOf = uncurry(Object.prototype.isPrototypeOf);
  /** Tests of the classes of this platform, which their files add: a brand, and for a few how they are cloned. */
  web.brands = [...web.events];
  web.cloners = [];

  const uncloneable = (what) => new DOMException(`${what} could not be cloned.`, 'DataCloneError');

  function show(value) {
    if (typeof value !== 'object') {
      return String(value);
    }
    const { constructor } = value;
    return `#<${typeof constructor === 'function' && constructor.name !== '' ? constructor.name : 'Object'}>`;
  }

  /** Whether a value has the internal slot that a method asks for. */
  function has(method, value) {
    try {
      method(value);
      return true;
    } catch {
      return false;
    }
  }

  class Cloner {
    /** Each object and its clone, for cycles and for what is shared. */
    #seen = new Map();

    clone(value) {
      if ((typeof value !== 'object' && typeof value !== 'function') || value === null) {
        if (typeof value === 'symbol') {
          throw uncloneable(show(value));
        }
        return value;
      }
      return this.#seen.get(value) ?? this.#object(value);
    }

    #keep(value, clone) {
      this.#seen.set(value, clone);
      return clone;
    }

    #object(value) {
      if (typeof value === 'function') {
        throw uncloneable(show(value));
      }
      if (isArray(value)) {
        const array = [];
        array.length = value.length;
        return this.#properties(value, this.#keep(value, array));
      }
      const prototype = getPrototypeOf(value);
      const tag = tagOf(value);
      if (tag === '[object Object]' && (prototype === objectPrototype || prototype === null)) {
        return this.#properties(value, this.#keep(value, {}));
      }
      return this.#special(value, tag.slice(8, -1)) ?? this.#properties(value, this.#keep(value, {}));
    }

    /** Whatever is more than its properties; undefined where it is not. */
    #special(value, tag) {
      // A tag can be anybody's and a prototype be changed: the slot decides, looked for where either points to it.
      const is = (name, Class, method) => (tag === name || value instanceof Class) && has(method, value);
      for (const [name, Class] of boxes) {
        if (is(name, Class, valueOf[name])) {
          return this.#keep(value, Object(valueOf[name](value)));
        }
      }
      if (is('Date', Date, getTime)) {
        return this.#keep(value, new Date(getTime(value)));
      }
      if (is('RegExp', RegExp, regExpSource)) {
        return this.#keep(value, new RegExp(regExpSource(value), regExpFlags(value)));
      }
      if (is('Map', Map, mapSize)) {
        return this.#map(value);
      }
      if (is('Set', Set, setSize)) {
        return this.#set(value);
      }
      if (is('ArrayBuffer', ArrayBuffer, bufferLength)) {
        return this.#buffer(value);
      }
      if (isView(value)) {
        return this.#view(value);
      }
      for (const cloner of web.cloners) {
        const clone = cloner(value);
        if (clone !== undefined) {
          return this.#keep(value, clone);
        }
      }
      if (value instanceof DOMException) {
        const clone = this.#keep(value, new DOMException(value.message, value.name));
        defineProperty(clone, 'stack', { value: value.stack, writable: true, configurable: true });
        return clone;
      }
      if (isError(value)) {
        return this.#error(value);
      }
      if (
        tag === 'Symbol' || refused.some((Class) => value instanceof Class) ||
        iterators.some((prototype) => isPrototypeOf(prototype, value)) || web.brands.some((brand) => brand(value))
      ) {
        throw uncloneable(show(value));
      }
      return undefined;
    }

    #properties(value, clone) {
      for (const key of keys(value)) {
        // A getter may have removed the next property.
        if (!hasOwn(value, key)) {
          continue;
        }
        const property = this.clone(value[key]);
        if (key === '__proto__') {
          defineProperty(clone, key, { value: property, writable: true, configurable: true, enumerable: true });
        } else {
          clone[key] = property;
        }
      }
      return clone;
    }

    #map(value) {
      const entries = [];
      mapForEach(value, (item, key) => entries.push([key, item]));
      const clone = this.#keep(value, new Map());
      for (const [key, item] of entries) {
        clone.set(this.clone(key), this.clone(item));
      }
      return clone;
    }

    #set(value) {
      const items = [];
      setForEach(value, (item) => items.push(item));
      const clone = this.#keep(value, new Set());
      for (const item of items) {
        clone.add(this.clone(item));
      }
      return clone;
    }

    #error(value) {
      const { name } = value;
      const Class = hasOwn(errors, `${name}`) ? errors[name] : Error;
      const clone = this.#keep(value, new Class());
      const hidden = (key, property) => {
        defineProperty(clone, key, { value: property, writable: true, configurable: true, enumerable: false });
      };
      const message = getOwnPropertyDescriptor(value, 'message');
      if (message !== undefined && hasOwn(message, 'value')) {
        hidden('message', `${message.value}`);
      }
      const { stack } = value;
      if (typeof stack === 'string') {
        hidden('stack', stack);
      }
      if (hasOwn(value, 'cause')) {
        hidden('cause', this.clone(value.cause));
      }
      return clone;
    }

    #buffer(value) {
      if (detached(value)) {
        throw uncloneable('a detached ArrayBuffer');
      }
      const { byteLength } = value;
      const options = resizable(value) ? { maxByteLength: maxByteLength(value) } : undefined;
      const clone = new ArrayBuffer(byteLength, options);
      new Uint8Array(clone).set(new Uint8Array(value));
      return this.#keep(value, clone);
    }

    #view(value) {
      const name = web.typedName(value) ?? 'DataView';
      const [source, offset, size] = web.range(value);
      const buffer = this.clone(source);
      const length = name === 'DataView' ? size : size / views[name].BYTES_PER_ELEMENT;
      return this.#keep(value, new views[name](buffer, offset, length));
    }
  }

  const { structuredClone } = {
    structuredClone(value, options = undefined) {
      web.required(arguments.length, 1, 'structuredClone');
      const given = web.dictionary(options, 'structuredClone: the second argument').transfer;
      const taken = given === undefined ? [] : [...given];
      for (const [index, buffer] of taken.entries()) {
        if (!web.isBuffer(buffer)) {
          if ((typeof buffer !== 'object' && typeof buffer !== 'function') || buffer === null) {
            throw new TypeError('structuredClone: what is transferred must be an object');
          }
          throw new DOMException('Only an ArrayBuffer can be transferred', 'DataCloneError');
        }
        if (taken.indexOf(buffer) !== index) {
          throw new DOMException('An ArrayBuffer is transferred twice', 'DataCloneError');
        }
      }
      const clone = new Cloner().clone(value);
      if (taken.some((buffer) => detached(buffer))) {
        throw new DOMException('An ArrayBuffer that is detached cannot be transferred', 'DataCloneError');
      }
      for (const buffer of taken) {
        transfer(buffer);
      }
      return clone;
    },
  };

  web.define('structuredClone', structuredClone);
})
