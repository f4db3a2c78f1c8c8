import { equal, ok, test, throws } from './harness.js';

const FULL = 'https://user:pass@sub.example.com:8080/p/a/t/h?query=string#hash';

test('a URL has its parts', () => {
  const url = new URL(FULL);
  equal(url.href, FULL);
  equal(url.origin, 'https://sub.example.com:8080');
  equal(url.protocol, 'https:');
  equal(url.username, 'user');
  equal(url.password, 'pass');
  equal(url.host, 'sub.example.com:8080');
  equal(url.hostname, 'sub.example.com');
  equal(url.port, '8080');
  equal(url.pathname, '/p/a/t/h');
  equal(url.search, '?query=string');
  equal(url.hash, '#hash');
});

test('a default port is left out', () => {
  equal(new URL('https://example.com:443/').port, '');
  equal(new URL('http://example.com:80').href, 'http://example.com/');
});

test('a scheme that is not special has a null origin and keeps its opaque path', () => {
  const url = new URL('mailto:someone@example.com');
  equal(url.origin, 'null');
  equal(url.pathname, 'someone@example.com');
  equal(url.host, '');
});

test('a relative URL is resolved against a base', () => {
  equal(new URL('../c?d#e', 'https://example.com/a/b/').href, 'https://example.com/a/c?d#e');
  equal(new URL('//other.example/x', 'https://example.com').href, 'https://other.example/x');
  equal(new URL('?q', 'https://example.com/a?b').href, 'https://example.com/a?q');
});

test('a base may be a URL object', () => {
  equal(new URL('b', new URL('https://example.com/a/')).href, 'https://example.com/a/b');
});

test('what is no URL is a TypeError', () => {
  throws(() => new URL('not a url'), 'TypeError', 'Invalid URL');
  throws(() => new URL('/relative'), 'TypeError');
  throws(() => new URL('https://exa mple.com'), 'TypeError');
  throws(() => new URL('a', 'b'), 'TypeError');
  throws(() => new URL(), 'TypeError');
  throws(() => URL('https://example.com'), 'TypeError');
});

test('what is no URL is not repeated in the error, since it may be a secret', 'sluice', () => {
  equal(throws(() => new URL('s3cret'), 'TypeError').message.includes('s3cret'), false);
  equal(throws(() => new Request('s3cret'), 'TypeError').message.includes('s3cret'), false);
});

test('international names are written in ASCII', () => {
  equal(new URL('https://münchen.example/ä').href, 'https://xn--mnchen-3ya.example/%C3%A4');
  equal(new URL('https://EXAMPLE.com').hostname, 'example.com');
  equal(new URL('https://faß.example').hostname, 'xn--fa-hia.example');
});

test('addresses are brought to one form', () => {
  equal(new URL('http://0x7f.1/').hostname, '127.0.0.1');
  equal(new URL('http://[2001:DB8:0:0:0:0:0:1]/').hostname, '[2001:db8::1]');
  throws(() => new URL('http://1.2.3.256/'), 'TypeError');
});

test('dots in a path are resolved, backslashes are slashes and white space goes', () => {
  equal(new URL('https://example.com/a/./b/../c').pathname, '/a/c');
  equal(new URL('https:\\\\example.com\\a').href, 'https://example.com/a');
  equal(new URL('  https://example.com/a\n b ').href, 'https://example.com/a%20b');
});

test('parts can be set', () => {
  const url = new URL('https://example.com/');
  url.protocol = 'http';
  url.username = 'me@';
  url.password = 'p:w';
  url.hostname = 'other.example';
  url.port = '81';
  url.pathname = 'a b';
  url.search = 'q=ü';
  url.hash = 'frag ment';
  equal(url.href, 'http://me%40:p%3Aw@other.example:81/a%20b?q=%C3%BC#frag%20ment');
  url.host = 'third.example:82';
  equal(url.host, 'third.example:82');
  url.href = 'https://example.org/x';
  equal(url.href, 'https://example.org/x');
});

test('a setter ignores what cannot be', () => {
  const url = new URL('https://example.com:8443/a');
  url.protocol = 'foo';
  url.port = 'x';
  url.host = '';
  url.hostname = 'a b';
  equal(url.href, 'https://example.com:8443/a');
  url.port = '90x';
  equal(url.port, '90');
  url.port = '';
  equal(url.port, '');
});

test('href refuses what is no URL and keeps what there was', () => {
  const url = new URL('https://example.com/');
  throws(() => { url.href = 'nope'; }, 'TypeError');
  equal(url.href, 'https://example.com/');
});

test('search and hash can be taken away', () => {
  const url = new URL('https://example.com/?a#b');
  url.search = '';
  url.hash = '';
  equal(url.href, 'https://example.com/');
});

test('origin cannot be set', () => {
  const url = new URL('https://example.com/');
  throws(() => { url.origin = 'https://x.example'; }, 'TypeError');
});

test('canParse and parse do not throw', () => {
  equal(URL.canParse('https://example.com'), true);
  equal(URL.canParse('x'), false);
  equal(URL.canParse('x', 'https://example.com'), true);
});

test('parse answers a URL or null', 'sluice', () => {
  equal(URL.parse('x'), null);
  equal(URL.parse('x', 'https://example.com').href, 'https://example.com/x');
  ok(URL.parse('https://example.com') instanceof URL);
});

test('a URL is text where text is asked for', () => {
  const url = new URL('https://example.com/a');
  equal(String(url), 'https://example.com/a');
  equal(`${url}`, 'https://example.com/a');
  equal(JSON.stringify({ url }), '{"url":"https://example.com/a"}');
  equal(Object.prototype.toString.call(url), '[object URL]');
});

test('searchParams is one object, and follows the URL', () => {
  const url = new URL('https://example.com/?a=1');
  const params = url.searchParams;
  ok(params === url.searchParams);
  equal(params.get('a'), '1');
  url.search = '?b=2&c=3';
  equal(params.get('a'), null);
  equal([...params], [['b', '2'], ['c', '3']]);
  url.href = 'https://example.org/?d';
  equal(params.toString(), 'd=');
});

test('the URL follows its searchParams', () => {
  const url = new URL('https://example.com/?a=1#h');
  url.searchParams.append('b', 'x y');
  equal(url.href, 'https://example.com/?a=1&b=x+y#h');
  url.searchParams.delete('a');
  url.searchParams.delete('b');
  equal(url.href, 'https://example.com/#h');
  url.searchParams.set('k', "'&=");
  equal(url.search, '?k=%27%26%3D');
});

test('reading searchParams does not rewrite the query', () => {
  const url = new URL('https://example.com/?a b&c=~');
  ok(url.searchParams.has('c'));
  equal(url.search, '?a%20b&c=~');
  url.searchParams.sort();
  equal(url.search, '?a+b=&c=%7E');
});

test('a property cannot be read of what is no URL', () => {
  const { get } = Object.getOwnPropertyDescriptor(URL.prototype, 'href');
  throws(() => get.call({}), 'TypeError');
});

test('members are enumerable on the prototype, and no own properties', () => {
  ok(Object.getOwnPropertyDescriptor(URL.prototype, 'href').enumerable);
  equal(Object.keys(new URL('https://example.com')).includes('href'), false);
  equal(URL.length, 1);
  equal(URL.name, 'URL');
});
