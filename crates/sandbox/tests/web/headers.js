import { equal, ok, test, throws } from './harness.js';

test('headers are read from a record', () => {
  const headers = new Headers({ 'X-One': '1', accept: 'text/plain', number: 5 });
  equal([headers.get('x-one'), headers.get('ACCEPT'), headers.get('number')], ['1', 'text/plain', '5']);
});

test('headers are read from pairs, a Map and other headers', () => {
  equal(new Headers([['a', '1'], ['A', '2']]).get('a'), '1, 2');
  equal(new Headers(new Map([['x', 'y']])).get('x'), 'y');
  equal([...new Headers(new Headers({ b: '1' }))], [['b', '1']]);
  equal([...new Headers()], []);
  equal([...new Headers(undefined)], []);
});

test('headers are made of objects alone, and pairs are pairs', () => {
  throws(() => new Headers(null), 'TypeError');
  throws(() => new Headers('a: b'), 'TypeError');
  throws(() => new Headers([['a']]), 'TypeError');
  throws(() => new Headers([['a', 'b', 'c']]), 'TypeError');
  throws(() => new Headers(['ab']), 'TypeError');
});

test('append joins, set replaces, delete takes away', () => {
  const headers = new Headers();
  headers.append('Accept', 'a');
  headers.append('accept', 'b');
  equal(headers.get('accept'), 'a, b');
  headers.set('ACCEPT', 'c');
  equal(headers.get('accept'), 'c');
  equal(headers.has('Accept'), true);
  headers.delete('aCCept');
  equal([headers.has('accept'), headers.get('accept')], [false, null]);
  headers.delete('missing');
});

test('a value loses its outer white space', () => {
  const headers = new Headers({ a: ' \t x y \r\n' });
  equal(headers.get('a'), 'x y');
  headers.set('b', '');
  equal(headers.get('b'), '');
});

test('names must be tokens', () => {
  for (const name of ['', 'a b', 'a:b', 'ä', 'a\n', '(x)']) {
    throws(() => new Headers().append(name, 'x'), 'TypeError');
    throws(() => new Headers().get(name), 'TypeError');
  }
  throws(() => new Headers({ 'a b': 'x' }), 'TypeError');
});

test('values must be bytes without line breaks', () => {
  for (const value of ['a\nb', 'a\rb', 'a\0b', '€']) {
    throws(() => new Headers().append('x', value), 'TypeError');
    throws(() => new Headers({ x: value }), 'TypeError');
  }
  equal(new Headers({ x: 'grüezi' }).get('x'), 'grüezi');
});

test('iteration is sorted, in lower case and joined', () => {
  const headers = new Headers([['Zed', '1'], ['alpha', '2'], ['Mid', '3'], ['zed', '4']]);
  equal([...headers], [['alpha', '2'], ['mid', '3'], ['zed', '1, 4']]);
  equal([...headers.keys()], ['alpha', 'mid', 'zed']);
  equal([...headers.values()], ['2', '3', '1, 4']);
});

test('cookies that are set stay apart', () => {
  const headers = new Headers([['Set-Cookie', 'a=1'], ['x', 'y'], ['set-cookie', 'b=2']]);
  equal(headers.getSetCookie(), ['a=1', 'b=2']);
  equal(headers.get('set-cookie'), 'a=1, b=2');
  equal([...headers], [['set-cookie', 'a=1'], ['set-cookie', 'b=2'], ['x', 'y']]);
  equal(new Headers().getSetCookie(), []);
});

test('a copy keeps cookies apart', () => {
  const headers = new Headers(new Headers([['Set-Cookie', 'a=1'], ['set-cookie', 'b=2']]));
  equal(headers.getSetCookie(), ['a=1', 'b=2']);
});

test('forEach gives value, name and the object', () => {
  const headers = new Headers({ b: '2', a: '1' });
  const seen = [];
  headers.forEach((value, name, object) => seen.push([value, name, object === headers]));
  equal(seen, [['1', 'a', true], ['2', 'b', true]]);
  throws(() => headers.forEach(), 'TypeError');
});

test('what is added while iterating shows', () => {
  const headers = new Headers({ a: '1' });
  const seen = [];
  for (const [name] of headers) {
    seen.push(name);
    if (seen.length === 1) {
      headers.append('b', '2');
    }
  }
  equal(seen, ['a', 'b']);
});

test('arguments are required', () => {
  throws(() => new Headers().append('a'), 'TypeError');
  throws(() => new Headers().set('a'), 'TypeError');
  throws(() => new Headers().get(), 'TypeError');
  throws(() => new Headers().has(), 'TypeError');
  throws(() => new Headers().delete(), 'TypeError');
});

test('headers are objects of their class', () => {
  equal(Object.prototype.toString.call(new Headers()), '[object Headers]');
  ok(Headers.prototype[Symbol.iterator] === Headers.prototype.entries);
  throws(() => Headers.prototype.get.call({}, 'a'), 'TypeError');
});
