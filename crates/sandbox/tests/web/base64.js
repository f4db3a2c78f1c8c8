import { equal, ok, test, throws } from './harness.js';

test('btoa writes base64', () => {
  equal(btoa(''), '');
  equal(btoa('a'), 'YQ==');
  equal(btoa('ab'), 'YWI=');
  equal(btoa('abc'), 'YWJj');
  equal(btoa('\xff\xfe\xfd'), '//79');
});

test('btoa makes text of what it is given', () => {
  equal(btoa(null), 'bnVsbA==');
  equal(btoa(12), 'MTI=');
  throws(() => btoa(), 'TypeError');
});

test('btoa refuses what is no byte', () => {
  throws(() => btoa('€'), 'InvalidCharacterError');
  throws(() => btoa('\u0100'), DOMException);
});

test('atob reads base64', () => {
  equal(atob(''), '');
  equal(atob('YQ=='), 'a');
  equal(atob('YWJj'), 'abc');
  equal(atob('//79'), '\xff\xfe\xfd');
});

test('atob forgives white space and missing padding', () => {
  equal(atob(' Y W\nJ\tj '), 'abc');
  equal(atob('YQ'), 'a');
  equal(atob('YWI'), 'ab');
});

test('atob refuses what is not base64', () => {
  for (const text of ['Y', 'YQ=', 'YQ===', 'Y=Q=', '=', 'YW*j', 'YW-_']) {
    throws(() => atob(text), 'InvalidCharacterError');
  }
  throws(() => atob(), 'TypeError');
});

test('all bytes go there and back', () => {
  const binary = String.fromCharCode(...Array(256).keys());
  ok(atob(btoa(binary)) === binary);
});
