import { equal, ok, test, throws } from './harness.js';

test('primitives are themselves', () => {
  for (const value of [undefined, null, true, 0, -0, NaN, 'text', 10n]) {
    equal(structuredClone(value), value);
  }
});

test('objects and arrays are cloned deeply', () => {
  const value = { a: [1, { b: 'c' }], d: { e: null } };
  const clone = structuredClone(value);
  equal(clone, value);
  ok(clone !== value && clone.a !== value.a && clone.a[1] !== value.a[1]);
});

test('cycles stay cycles', () => {
  const value = { name: 'x', list: [] };
  value.self = value;
  value.list.push(value);
  const clone = structuredClone(value);
  ok(clone !== value && clone.self === clone && clone.list[0] === clone);
});

test('what is shared stays shared', () => {
  const shared = { n: 1 };
  const clone = structuredClone([shared, shared, new Map([[shared, shared]])]);
  ok(clone[0] === clone[1] && clone[2].get(clone[0]) === clone[0] && clone[0] !== shared);
});

test('arrays keep holes, length and further properties', () => {
  const value = [1, , 3];
  value.length = 5;
  value.extra = 'x';
  const clone = structuredClone(value);
  equal([clone.length, 1 in clone, clone[2], clone.extra], [5, false, 3, 'x']);
});

test('maps and sets are cloned in order', () => {
  const value = new Map([['b', new Set([1, 'x'])], ['a', { c: 1 }]]);
  equal(structuredClone(value), value);
  const cyclic = new Set();
  cyclic.add(cyclic);
  const clone = structuredClone(cyclic);
  ok(clone.has(clone) && clone.size === 1);
});

test('dates and regular expressions are cloned', () => {
  equal(structuredClone(new Date(5)), new Date(5));
  ok(Number.isNaN(structuredClone(new Date(NaN)).getTime()));
  const pattern = /a(b)/gi;
  pattern.lastIndex = 3;
  const clone = structuredClone(pattern);
  equal([clone.source, clone.flags, clone.lastIndex], ['a(b)', 'gi', 0]);
});

test('boxed primitives stay boxed', () => {
  const clone = structuredClone([Object(true), Object(5), Object('text'), Object(7n)]);
  equal(clone.map((value) => typeof value), ['object', 'object', 'object', 'object']);
  equal(clone.map((value) => value.valueOf()), [true, 5, 'text', 7n]);
});

test('buffers are copied', () => {
  const value = new Uint8Array([1, 2, 3]);
  const clone = structuredClone(value.buffer);
  value[0] = 9;
  equal([...new Uint8Array(clone)], [1, 2, 3]);
});

test('all kinds of views are cloned', () => {
  const kinds = [
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
    Float64Array,
  ];
  for (const Kind of kinds) {
    const clone = structuredClone(new Kind([1, 2, 3]));
    ok(clone instanceof Kind);
    equal([...clone], [1, 2, 3]);
  }
  for (const Kind of [BigInt64Array, BigUint64Array]) {
    equal([...structuredClone(new Kind([1n, 2n]))], [1n, 2n]);
  }
  equal(structuredClone(new DataView(new ArrayBuffer(8), 2, 3)).byteLength, 3);
});

test('views of one buffer share its clone', () => {
  const buffer = new ArrayBuffer(8);
  const clone = structuredClone({ a: new Uint8Array(buffer, 2, 4), b: new DataView(buffer), buffer });
  ok(clone.a.buffer === clone.buffer && clone.b.buffer === clone.buffer && clone.buffer !== buffer);
  equal([clone.a.byteOffset, clone.a.length, clone.buffer.byteLength], [2, 4, 8]);
});

test('errors keep their kind, message, stack and cause', () => {
  const error = new RangeError('far', { cause: { a: 1 } });
  const clone = structuredClone(error);
  ok(clone instanceof RangeError && clone !== error);
  equal([clone.name, clone.message, clone.cause], ['RangeError', 'far', { a: 1 }]);
  equal(clone.stack, error.stack);
  equal(Object.keys(clone), []);
});

test('an error of an own class is an Error', () => {
  class Own extends Error {}
  const own = new Own('x');
  own.extra = 1;
  const clone = structuredClone(own);
  ok(Object.getPrototypeOf(clone) === Error.prototype);
  equal([clone.message, clone.extra, 'cause' in clone], ['x', undefined, false]);
});

test('an object of a class is a plain one, with its own properties', () => {
  class Point {
    x = 1;
    get y() {
      return 2;
    }
  }
  const clone = structuredClone(new Point());
  ok(Object.getPrototypeOf(clone) === Object.prototype);
  equal(Object.keys(clone), ['x']);
});

test('getters are read, symbols and what is not enumerable left out', () => {
  const value = { get a() { return 5; }, [Symbol('s')]: 1 };
  Object.defineProperty(value, 'hidden', { value: 1 });
  const clone = structuredClone(value);
  const property = { value: 5, writable: true, enumerable: true, configurable: true };
  equal(Object.getOwnPropertyDescriptor(clone, 'a'), property);
  equal(Reflect.ownKeys(clone), ['a']);
});

test('a property named __proto__ is one', () => {
  const clone = structuredClone(JSON.parse('{"__proto__": {"x": 1}}'));
  ok(Object.hasOwn(clone, '__proto__') && clone.x === undefined);
});

test('an object without a prototype gets one', () => {
  const value = Object.create(null);
  value.a = 1;
  equal(structuredClone(value), { a: 1 });
});

test('a tag alone makes nothing, and its lack neither', () => {
  for (const tag of ['Map', 'RegExp', 'Error', 'Date', 'Boolean', 'ArrayBuffer']) {
    equal(structuredClone({ [Symbol.toStringTag]: tag, a: 1 }), { a: 1 });
  }
  class Own extends Map {
    get [Symbol.toStringTag]() {
      return 'Own';
    }
  }
  const clone = structuredClone(new Own([[1, 2]]));
  equal(clone, new Map([[1, 2]]));
});

test('functions, symbols and what holds them cannot be cloned', () => {
  throws(() => structuredClone(() => {}), 'DataCloneError');
  throws(() => structuredClone(class A {}), 'DataCloneError');
  throws(() => structuredClone(Symbol('x')), 'DataCloneError');
  throws(() => structuredClone({ a: [() => {}] }), 'DataCloneError');
  throws(() => structuredClone(new Map([[Symbol('x'), 1]])), 'DataCloneError');
  throws(() => structuredClone(Object(Symbol('x'))), 'DataCloneError');
  equal(throws(() => structuredClone(Symbol('x')), DOMException).code, 25);
});

test('promises, weak collections and generators cannot be cloned', () => {
  throws(() => structuredClone(Promise.resolve()), 'DataCloneError');
  throws(() => structuredClone(new WeakMap()), 'DataCloneError');
  throws(() => structuredClone(new WeakSet()), 'DataCloneError');
  throws(() => structuredClone(new WeakRef({})), 'DataCloneError');
  throws(() => structuredClone((function* () {})()), 'DataCloneError');
});

test('what an exception of a getter is goes to the caller', () => {
  throws(() => structuredClone({ get a() { throw new RangeError('mine'); } }), 'RangeError', 'mine');
});

test('the platform\'s objects cannot be cloned', 'sluice', () => {
  for (const value of [
    new URL('https://example.com'), new URLSearchParams(), new Headers(), new Request('https://example.com'),
    new Response(), new Event('x'), new EventTarget(), new AbortController().signal,
  ]) {
    throws(() => structuredClone(value), 'DataCloneError');
  }
});

test('a DOMException is cloned', 'sluice', () => {
  const clone = structuredClone(new DOMException('m', 'AbortError'));
  ok(clone instanceof DOMException);
  equal([clone.name, clone.message, clone.code], ['AbortError', 'm', 20]);
});

test('a buffer is transferred', () => {
  const buffer = new Uint8Array([1, 2, 3]).buffer;
  const clone = structuredClone({ buffer, view: new Uint8Array(buffer, 1) }, { transfer: [buffer] });
  equal(buffer.byteLength, 0);
  equal([...clone.view], [2, 3]);
  ok(clone.view.buffer === clone.buffer);
});

test('only buffers can be transferred, once, and whole', () => {
  const buffer = new ArrayBuffer(1);
  throws(() => structuredClone(1, { transfer: [buffer, buffer] }), 'DataCloneError');
  throws(() => structuredClone(1, { transfer: [{}] }), Error);
  throws(() => structuredClone(1, { transfer: [5] }), 'TypeError');
  structuredClone(1, { transfer: [buffer] });
  throws(() => structuredClone(buffer), 'DataCloneError');
});

test('a buffer that is detached cannot be transferred', 'sluice', () => {
  const buffer = new ArrayBuffer(1);
  structuredClone(1, { transfer: [buffer] });
  throws(() => structuredClone(1, { transfer: [buffer] }), 'DataCloneError');
});

test('a clone that fails transfers nothing', () => {
  const buffer = new ArrayBuffer(3);
  throws(() => structuredClone([buffer, () => {}], { transfer: [buffer] }), 'DataCloneError');
  equal(buffer.byteLength, 3);
});

test('a value is required', () => {
  throws(() => structuredClone(), 'TypeError');
  equal(structuredClone(undefined), undefined);
});
