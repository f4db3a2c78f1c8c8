import { equal, ok, test, throws } from './harness.js';

test('globals are as properties of the web are', () => {
  for (const name of [
    'AbortController', 'AbortSignal', 'Crypto', 'CryptoKey', 'CustomEvent', 'DOMException', 'Event', 'EventTarget',
    'Headers', 'Request', 'Response', 'SubtleCrypto', 'TextDecoder', 'TextEncoder', 'URL', 'URLSearchParams',
  ]) {
    const property = Object.getOwnPropertyDescriptor(globalThis, name);
    equal([name, property.enumerable, property.configurable], [name, false, true]);
    equal([typeof globalThis[name], globalThis[name].name], ['function', name]);
  }
});

test('functions are there', () => {
  for (const name of [
    'atob', 'btoa', 'clearInterval', 'clearTimeout', 'fetch', 'queueMicrotask', 'setInterval', 'setTimeout',
    'structuredClone',
  ]) {
    equal([name, typeof globalThis[name]], [name, 'function']);
  }
});

test('functions have the lengths of the web', 'sluice', () => {
  const functions = [fetch, structuredClone, setTimeout, setInterval, clearTimeout, queueMicrotask, reportError, atob];
  equal(functions.map((f) => f.length), [1, 1, 1, 1, 0, 1, 1, 1]);
  const classes = [Event, Headers, Request, Response, URL, URLSearchParams, TextDecoder];
  equal(classes.map((f) => f.length), [1, 0, 1, 0, 1, 0, 0]);
});

test('functions are no constructors', 'sluice', () => {
  const isClass = (value) => Object.getOwnPropertyDescriptor(value, 'prototype')?.writable === false;
  const functions = Object.getOwnPropertyNames(globalThis)
    .map((name) => [name, globalThis[name]])
    .filter(([name, value]) => typeof value === 'function' && name !== 'Proxy' && !isClass(value));
  for (const holder of [console, secrets, counters, kv]) {
    functions.push(...Object.entries(Object.getOwnPropertyDescriptors(holder)).map(([name, { value }]) => [name, value]));
  }
  const named = functions.filter(([, value]) => typeof value === 'function');
  ok(named.length > 30);
  for (const [name, value] of named) {
    // A proxy of it can be constructed where it can, and nothing of it is called.
    const proxy = new Proxy(value, { construct: () => ({}) });
    throws(() => new proxy(), 'TypeError', 'not a constructor');
    equal([name, Object.hasOwn(value, 'prototype')], [name, false]);
  }
});

test('self is the global object', 'sluice', () => {
  ok(self === globalThis);
});

test('navigator says who runs this', 'sluice', () => {
  equal(navigator.userAgent, 'sluice');
  ok(navigator instanceof Navigator);
});

test('reportError logs and goes on', 'sluice', () => {
  equal(reportError(new Error('reported')), undefined);
  equal(reportError('text'), undefined);
  throws(() => reportError(), 'TypeError');
});

test('a DOMException is an Error with a code', () => {
  const error = new DOMException('message', 'NotFoundError');
  ok(error instanceof Error);
  equal([error.name, error.message, error.code], ['NotFoundError', 'message', 8]);
  equal([new DOMException().name, new DOMException().message, new DOMException().code], ['Error', '', 0]);
  equal(DOMException.ABORT_ERR, 20);
});

test('classes need new', () => {
  for (const Class of [URL, URLSearchParams, Headers, Request, Response, Event, EventTarget, TextEncoder]) {
    throws(() => Class('https://example.com'), 'TypeError');
  }
});

test('what an Action does to prototypes is its own', 'sluice', () => {
  const { stringify } = JSON;
  try {
    JSON.stringify = () => 'broken';
    equal(typeof crypto.randomUUID(), 'string');
    equal(structuredClone({ a: 1 }), { a: 1 });
  } finally {
    JSON.stringify = stringify;
  }
});

test('there is nothing of Node and nothing of a browser', 'sluice', () => {
  for (const name of ['process', 'require', 'Buffer', 'window', 'document', 'ReadableStream', 'Blob', 'FormData']) {
    equal([name, typeof globalThis[name]], [name, 'undefined']);
  }
});
