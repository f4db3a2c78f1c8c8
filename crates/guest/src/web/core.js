// What the other files share: how a class becomes a global, how arguments are converted (WebIDL), and how a call of the
// host begins and ends. Evaluated first.
(function (native, web) {
  'use strict';

  // Taken now: an Action may replace what it finds on globals and prototypes, and only breaks itself then.
  const { parse, stringify } = JSON;
  const { start, cancel, frozen, log } = native;
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf } = Object;
  const { ownKeys } = Reflect;
  const resolved = Promise.resolve.bind(Promise);
  const rejected = Promise.reject.bind(Promise);
  const uncurry = Function.prototype.bind.bind(Function.prototype.call);
  const getter = (prototype, name) => uncurry(getOwnPropertyDescriptor(prototype, name).get);

  web.stringify = stringify;
  web.parse = parse;
  web.resolved = resolved;
  web.rejected = rejected;
  web.uncurry = uncurry;

  // ---- Globals and classes

  /** Makes something a global. A function is a method of some object, as it would be a constructor otherwise. */
  web.define = (name, value) => {
    defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  };

  /** Gives members the attributes that WebIDL gives them. */
  web.dress = (Class) => {
    defineProperty(Class.prototype, Symbol.toStringTag, { value: Class.name, configurable: true });
    for (const holder of [Class, Class.prototype]) {
      for (const key of ownKeys(holder)) {
        if (typeof key === 'string' && !['constructor', 'length', 'name', 'prototype'].includes(key)) {
          defineProperty(holder, key, { enumerable: true });
        }
      }
    }
  };

  /** Makes a class of the web a global. */
  web.expose = (Class) => {
    web.dress(Class);
    web.define(Class.name, Class);
  };

  /** What a constructor is given by the platform itself; who does not have it cannot construct. */
  const key = Symbol('the platform');
  web.key = key;
  web.guard = (given) => {
    if (given !== key) {
      throw new TypeError('Illegal constructor');
    }
  };

  // ---- Conversions

  web.required = (given, needed, what) => {
    if (given < needed) {
      throw new TypeError(`${what}: ${needed} argument${needed > 1 ? 's' : ''} required, but only ${given} present`);
    }
  };

  const wellFormed = uncurry(String.prototype.toWellFormed);
  /** A USVString: no lone surrogates. A symbol is a TypeError, as a template makes it one. */
  web.text = (value) => wellFormed(`${value}`);

  const typeError = (message) => new TypeError(message);
  const none = Object.freeze(Object.create(null));
  /** A dictionary: an object whose members are read one by one, or nothing. */
  web.dictionary = (value, what, mistake = typeError) => {
    if (value === undefined || value === null) {
      return none;
    }
    if (typeof value !== 'object' && typeof value !== 'function') {
      throw mistake(`${what} must be an object`);
    }
    return value;
  };

  /** One of an enumeration's words. */
  web.word = (value, words, what, mistake = typeError) => {
    const text = `${value}`;
    if (!words.includes(text)) {
      throw mistake(`${what} must be one of ${words.join(', ')}, not '${text}'`);
    }
    return text;
  };

  const arrayBufferLength = getter(ArrayBuffer.prototype, 'byteLength');
  web.isBuffer = (value) => {
    if (typeof value !== 'object' || value === null) {
      return false;
    }
    try {
      arrayBufferLength(value);
      return true;
    } catch {
      return false;
    }
  };

  const { isView } = ArrayBuffer;
  const typed = getPrototypeOf(Uint8Array.prototype);
  /** A typed array's name, undefined for whatever else there is. */
  web.typedName = getter(typed, Symbol.toStringTag);
  const [typedBuffer, typedOffset, typedLength] =
    ['buffer', 'byteOffset', 'byteLength'].map((name) => getter(typed, name));
  const [viewBuffer, viewOffset, viewLength] =
    ['buffer', 'byteOffset', 'byteLength'].map((name) => getter(DataView.prototype, name));

  /** Where the bytes of a view are: buffer, offset, length. */
  web.range = (view) => web.typedName(view) === undefined
    ? [viewBuffer(view), viewOffset(view), viewLength(view)]
    : [typedBuffer(view), typedOffset(view), typedLength(view)];

  /** Where the bytes of an ArrayBuffer or a view are. */
  web.bytes = (source, what) => {
    if (isView(source)) {
      return web.range(source);
    }
    if (!web.isBuffer(source)) {
      throw new TypeError(`${what} must be an ArrayBuffer or a view of one`);
    }
    return [source, 0, arrayBufferLength(source)];
  };

  const slice = uncurry(ArrayBuffer.prototype.slice);
  /** A copy of some bytes. */
  web.copy = (source, what) => {
    const [buffer, offset, length] = web.bytes(source, what);
    return slice(buffer, offset, offset + length);
  };

  // ---- Iteration over pairs, for URLSearchParams and Headers

  const iteratorPrototype = getPrototypeOf(getPrototypeOf([][Symbol.iterator]()));
  /**
   * Makes a class iterable over pairs. `list` answers the pairs of an object as they are at the moment, since what is
   * changed in the middle of an iteration shows in it.
   */
  web.iterable = (Class, list) => {
    const iterators = new WeakMap();
    const prototype = Object.create(iteratorPrototype, {
      [Symbol.toStringTag]: { value: `${Class.name} Iterator`, configurable: true },
    });
    const next = {
      next() {
        const at = iterators.get(this);
        if (at === undefined) {
          throw new TypeError(`not a ${Class.name} Iterator`);
        }
        const pairs = list(at.of);
        if (at.index >= pairs.length) {
          return { value: undefined, done: true };
        }
        const [name, value] = pairs[at.index++];
        return { value: at.kind === 'key' ? name : at.kind === 'value' ? value : [name, value], done: false };
      },
    }.next;
    defineProperty(prototype, 'next', { value: next, writable: true, configurable: true, enumerable: true });
    const iterate = (of, kind) => {
      list(of);
      const iterator = Object.create(prototype);
      iterators.set(iterator, { of, kind, index: 0 });
      return iterator;
    };
    const methods = {
      entries() {
        return iterate(this, 'pair');
      },
      forEach(callback, self = undefined) {
        list(this);
        web.required(arguments.length, 1, 'forEach');
        if (typeof callback !== 'function') {
          throw new TypeError('forEach: the callback must be a function');
        }
        for (let index = 0, pairs; index < (pairs = list(this)).length; index++) {
          const [name, value] = pairs[index];
          callback.call(self, value, name, this);
        }
      },
      keys() {
        return iterate(this, 'key');
      },
      values() {
        return iterate(this, 'value');
      },
    };
    for (const name of ownKeys(methods)) {
      defineProperty(Class.prototype, name, getOwnPropertyDescriptor(methods, name));
    }
    defineProperty(Class.prototype, Symbol.iterator, {
      value: methods.entries, writable: true, configurable: true, enumerable: false,
    });
  };

  // ---- Errors of the platform

  class CapabilityDeniedError extends Error {}
  class UnavailableError extends Error {}
  for (const Class of [CapabilityDeniedError, UnavailableError]) {
    defineProperty(Class.prototype, 'name', { value: Class.name, writable: true, configurable: true });
  }
  web.UnavailableError = UnavailableError;

  /** An error with a message, made of a blank one where there is one. */
  web.fill = (Class, blank, message, properties) => {
    const error = blank instanceof Class ? blank : new Class();
    defineProperty(error, 'message', { value: message, writable: true, configurable: true });
    for (const name of ownKeys(properties)) {
      defineProperty(error, name, { value: properties[name], writable: true, configurable: true });
    }
    return error;
  };

  /** What fetch says of a request that is not sent: its cause has a code, as that of one that failed. */
  web.unfit = (code, message) => {
    const cause = web.fill(Error, undefined, message, { code });
    return web.fill(TypeError, undefined, message, { cause });
  };

  // What an error says can be changed by an Action, and its constructor be called; what stands here cannot.
  const denials = new WeakMap();
  web.denied = (what, message, blank = new CapabilityDeniedError()) => {
    web.fill(CapabilityDeniedError, blank, message, { capability: what });
    denials.set(blank, message);
    return blank;
  };
  web.denial = (error) => denials.get(error);

  /** What is not there yet while a module's top level is evaluated. */
  web.early = (what) =>
    web.denied(what, `${what} cannot be used while a module is being evaluated: call it in execute`);
  web.refuseEarly = (what) => {
    if (frozen()) {
      throw web.early(what);
    }
  };

  /** Logs an error that nobody can catch, as that of a listener. */
  web.report = (error) => {
    log(3, 'uncaught:', error);
  };

  // ---- Calls of the host

  // How calls of one kind are made is a protocol: `kind` is the host's word for it and `what` the author's;
  // `read(ok, body)` makes the result of an answer, `fail(error, blank)` the error of a refusal. `blank()` makes an
  // empty error at the time of the call, to be filled in: a call that fails later has no author's code on the stack.

  const outcome = (protocol, text, body, blanks) => {
    const answer = parse(text);
    if (answer.error === undefined) {
      return protocol.read(answer.ok, body);
    }
    if (answer.error.kind === 'denied') {
      throw web.denied(protocol.what, answer.error.message, blanks?.denied);
    }
    throw protocol.fail(answer.error, blanks?.failed);
  };

  /** An answer that comes at once, or an exception. */
  web.ask = (protocol, meta) => {
    const answer = start(protocol.kind, meta, undefined);
    return outcome(protocol, answer[0], answer[1], undefined);
  };

  /** Those that wait for an answer, by id. */
  const pending = new Map();
  web.isWaiting = () => pending.size > 0;

  /** A promise of the answer. */
  web.call = (protocol, meta, body, signal) => {
    if (frozen()) {
      return rejected(web.early(protocol.what));
    }
    try {
      return web.begun(protocol, start(protocol.kind, meta, body), signal);
    } catch (error) {
      return rejected(error);
    }
  };

  /** A promise of the answer to a call that has begun: `begun` is its number, or the answer itself. */
  web.begun = (protocol, begun, signal) => {
    if (typeof begun !== 'number') {
      try {
        return resolved(outcome(protocol, begun[0], begun[1], undefined));
      } catch (error) {
        return rejected(error);
      }
    }
    const id = begun;
    return new Promise((resolve, reject) => {
      const blanks = { denied: new CapabilityDeniedError(), failed: protocol.blank() };
      const call = { protocol, resolve, reject, blanks, release: undefined };
      pending.set(id, call);
      if (signal !== undefined) {
        call.release = web.onAbort(signal, () => {
          pending.delete(id);
          cancel(id);
          reject(signal.reason);
        });
      }
    });
  };

  /** The host's answer to a call that was pending. One that was given up is nobody's. */
  web.settle = (id, meta, body) => {
    const call = pending.get(id);
    if (call === undefined) {
      return;
    }
    pending.delete(id);
    if (call.release !== undefined) {
      call.release();
    }
    try {
      call.resolve(outcome(call.protocol, meta, body, call.blanks));
    } catch (error) {
      call.reject(error);
    }
  };
})
