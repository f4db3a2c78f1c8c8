// What is logged is the log's to say; here, that everything is there and lets the Action go on.
import { equal, ok, test } from './harness.js';

const ALL = [
  'assert', 'clear', 'count', 'countReset', 'debug', 'dir', 'dirxml', 'error', 'group', 'groupCollapsed', 'groupEnd',
  'info', 'log', 'table', 'time', 'timeEnd', 'timeLog', 'trace', 'warn',
];

test('all functions are there, and enumerable', () => {
  for (const name of ALL) {
    equal(typeof console[name], 'function');
  }
  ok(ALL.every((name) => Object.keys(console).includes(name)));
  equal(Object.prototype.toString.call(console), '[object console]');
});

test('functions need no this', 'sluice', () => {
  const { log, group, groupEnd, count } = console;
  equal([log('a'), group('g'), count(), groupEnd()], [undefined, undefined, undefined, undefined]);
});

test('every function takes anything', 'sluice', () => {
  const cyclic = {};
  cyclic.self = cyclic;
  const values = [
    undefined, null, true, -0, 1n, 'text', Symbol('s'), () => {}, class A {}, {}, [], cyclic, new Map([[1, 2]]),
    new Set([1]), new Date(0), /x/, new Error('e'), new Uint8Array(2), Promise.resolve(), Object.create(null),
    new URL('https://e.example'), new Headers(), new Proxy({}, {}),
  ];
  for (const value of values) {
    for (const name of ['debug', 'log', 'info', 'warn', 'error', 'dir', 'dirxml', 'group', 'table', 'trace']) {
      console[name](value);
      console[name]('%s %d %i %f %o %O %c %%', value, value, 1, 2);
      console.groupEnd();
    }
    console.assert(false, value);
  }
});

test('a table takes rows of all kinds', 'sluice', () => {
  console.table([{ a: 1, b: 'x' }, { a: 2, c: [1] }]);
  console.table([1, 'two', null]);
  console.table({ x: { y: 1 }, z: 2 });
  console.table(new Map([['k', 1]]));
  console.table(new Set([1, { a: 2 }]));
  console.table([{ a: 1, b: 2 }], ['b', 'missing']);
  console.table([]);
  console.table('text');
});

test('counts, timers and groups may be ended more often than begun', 'sluice', () => {
  console.count();
  console.count('a');
  console.countReset('a');
  console.countReset('a');
  console.time('t');
  console.time('t');
  console.timeLog('t', 'more');
  console.timeEnd('t');
  console.timeEnd('t');
  console.groupEnd();
  console.groupEnd();
});

test('a value whose text throws does not disturb', 'sluice', () => {
  console.log('x', { toString() { throw new Error('no'); }, get a() { throw new Error('no'); } });
  console.log('%s', { toString() { throw new Error('no'); } });
});
