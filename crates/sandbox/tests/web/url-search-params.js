import { equal, ok, test, throws } from './harness.js';

test('parameters are read from text', () => {
  equal([...new URLSearchParams('a=1&b=2&a=3')], [['a', '1'], ['b', '2'], ['a', '3']]);
  equal(new URLSearchParams('?a=1').get('a'), '1');
  equal(new URLSearchParams('??a=1').get('?a'), '1');
  equal([...new URLSearchParams('a&&=b&c=')], [['a', ''], ['', 'b'], ['c', '']]);
});

test('text is percent-decoded, and plus is a space', () => {
  equal(new URLSearchParams('q=a+b%20c%2B').get('q'), 'a b c+');
  equal(new URLSearchParams('q=%C3%A4%ff').get('q'), 'ä\ufffd');
  equal(new URLSearchParams('q=%zz').get('q'), '%zz');
});

test('parameters are read from pairs', () => {
  equal(new URLSearchParams([['a', '1'], ['a', 2]]).toString(), 'a=1&a=2');
  equal(new URLSearchParams(new Map([['x', 'y']])).toString(), 'x=y');
  equal(new URLSearchParams(new URLSearchParams('p=q')).toString(), 'p=q');
  equal(new URLSearchParams([new Set(['a', 'b'])]).toString(), 'a=b');
});

test('pairs must be pairs', () => {
  throws(() => new URLSearchParams([['a']]), 'TypeError');
  throws(() => new URLSearchParams([['a', 'b', 'c']]), 'TypeError');
  throws(() => new URLSearchParams(['ab']), 'TypeError');
  throws(() => new URLSearchParams([1]), 'TypeError');
});

test('parameters are read from a record', () => {
  equal(new URLSearchParams({ a: 1, b: true, c: null }).toString(), 'a=1&b=true&c=null');
  equal(new URLSearchParams({}).toString(), '');
  throws(() => new URLSearchParams({ [Symbol('x')]: 1 }), 'TypeError');
});

test('parameters of nothing are none', () => {
  equal(new URLSearchParams().toString(), '');
  equal(new URLSearchParams(undefined).size, 0);
});

test('parameters of null are the word, which Node does not do', 'sluice', () => {
  equal(new URLSearchParams(null).toString(), 'null=');
});

test('lone surrogates become the replacement character', () => {
  equal(new URLSearchParams([['\ud800', '\udc00x']]).toString(), '%EF%BF%BD=%EF%BF%BDx');
});

test('size counts pairs', () => {
  const params = new URLSearchParams('a=1&a=2&b=3');
  equal(params.size, 3);
  params.delete('a');
  equal(params.size, 1);
});

test('get answers the first, getAll all', () => {
  const params = new URLSearchParams('a=1&a=2');
  equal(params.get('a'), '1');
  equal(params.getAll('a'), ['1', '2']);
  equal(params.get('b'), null);
  equal(params.getAll('b'), []);
});

test('has and delete can ask for a value too', () => {
  const params = new URLSearchParams('a=1&a=2&a=1');
  equal(params.has('a'), true);
  equal(params.has('a', '2'), true);
  equal(params.has('a', '3'), false);
  equal(params.has('a', undefined), true);
  params.delete('a', '1');
  equal(params.toString(), 'a=2');
  params.delete('a', undefined);
  equal(params.toString(), '');
});

test('set replaces the first and takes the others away', () => {
  const params = new URLSearchParams('a=1&b=2&a=3');
  params.set('a', 'x');
  equal(params.toString(), 'a=x&b=2');
  params.set('c', 'new');
  equal(params.toString(), 'a=x&b=2&c=new');
});

test('sort is by code units and stable', () => {
  const params = new URLSearchParams('z=1&\ufffd=2&a=3&🌈=4&a=1');
  params.sort();
  equal([...params], [['a', '3'], ['a', '1'], ['z', '1'], ['🌈', '4'], ['\ufffd', '2']]);
});

test('text is written as forms write it', () => {
  equal(new URLSearchParams([['a b', "!'()~*-._é"]]).toString(), 'a+b=%21%27%28%29%7E*-._%C3%A9');
});

test('iteration gives names and values', () => {
  const params = new URLSearchParams('a=1&b=2');
  equal([...params.keys()], ['a', 'b']);
  equal([...params.values()], ['1', '2']);
  equal([...params.entries()], [['a', '1'], ['b', '2']]);
  ok(URLSearchParams.prototype[Symbol.iterator] === URLSearchParams.prototype.entries);
  equal(Object.prototype.toString.call(params.keys()), '[object URLSearchParams Iterator]');
});

test('iteration is live', () => {
  const params = new URLSearchParams('a=1&b=2&c=3');
  const seen = [];
  for (const [name] of params) {
    seen.push(name);
    params.delete(name);
  }
  equal(seen, ['a', 'c']);
});

test('forEach gives value, name and the object', () => {
  const params = new URLSearchParams('a=1&b=2');
  const seen = [];
  const self = {};
  params.forEach(function (value, name, object) {
    seen.push([value, name, object === params, this === self]);
  }, self);
  equal(seen, [['1', 'a', true, true], ['2', 'b', true, true]]);
  throws(() => params.forEach(), 'TypeError');
  throws(() => params.forEach({}), 'TypeError');
});

test('arguments are required', () => {
  const params = new URLSearchParams();
  for (const name of ['append', 'delete', 'get', 'getAll', 'has', 'set']) {
    throws(() => params[name](), 'TypeError');
  }
  throws(() => params.append('a'), 'TypeError');
  equal([params.append.length, params.delete.length, params.set.length], [2, 1, 2]);
});

test('methods are for these objects alone', () => {
  throws(() => URLSearchParams.prototype.get.call(new Map(), 'a'), 'TypeError');
  throws(() => URLSearchParams.prototype.entries.call({}), 'TypeError');
});
