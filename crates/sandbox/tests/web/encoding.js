import { equal, ok, test, throws } from './harness.js';

const bytes = (...values) => new Uint8Array(values);

test('TextEncoder writes UTF-8', () => {
  const encoder = new TextEncoder();
  equal(encoder.encoding, 'utf-8');
  equal(encoder.encode('aé€😀'), bytes(0x61, 0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80));
  equal(encoder.encode(), bytes());
  equal(encoder.encode(undefined), bytes());
  equal(encoder.encode(null), bytes(0x6e, 0x75, 0x6c, 0x6c));
});

test('TextEncoder writes U+FFFD for a lone surrogate', () => {
  equal(new TextEncoder().encode('\ud800x\udc00'), bytes(0xef, 0xbf, 0xbd, 0x78, 0xef, 0xbf, 0xbd));
});

test('encodeInto writes whole characters, as many as there is room for', () => {
  const into = new Uint8Array(5);
  equal(new TextEncoder().encodeInto('a€😀', into), { read: 2, written: 4 });
  equal(into, bytes(0x61, 0xe2, 0x82, 0xac, 0));
  equal(new TextEncoder().encodeInto('😀b', into), { read: 3, written: 5 });
  equal(new TextEncoder().encodeInto('', into), { read: 0, written: 0 });
  equal(new TextEncoder().encodeInto('x', new Uint8Array(0)), { read: 0, written: 0 });
});

test('encodeInto writes where the view is', () => {
  const whole = new Uint8Array(6);
  equal(new TextEncoder().encodeInto('abcdef', whole.subarray(2, 5)), { read: 3, written: 3 });
  equal(whole, bytes(0, 0, 0x61, 0x62, 0x63, 0));
  throws(() => new TextEncoder().encodeInto('x', new Uint16Array(2)), 'TypeError');
  throws(() => new TextEncoder().encodeInto('x'), 'TypeError');
});

test('TextDecoder reads UTF-8', () => {
  equal(new TextDecoder().decode(bytes(0x61, 0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80)), 'aé😀');
  equal(new TextDecoder().decode(), '');
});

test('TextDecoder reads buffers and views', () => {
  const whole = bytes(0x61, 0x62, 0x63, 0x64);
  equal(new TextDecoder().decode(whole.buffer), 'abcd');
  equal(new TextDecoder().decode(whole.subarray(1, 3)), 'bc');
  equal(new TextDecoder().decode(new DataView(whole.buffer, 2)), 'cd');
  equal(new TextDecoder().decode(new Uint16Array(whole.buffer)), 'abcd');
  throws(() => new TextDecoder().decode('text'), 'TypeError');
  throws(() => new TextDecoder().decode([1]), 'TypeError');
});

test('malformed bytes become U+FFFD, one for each beginning that could not go on', () => {
  const decode = (...values) => new TextDecoder().decode(bytes(...values));
  equal(decode(0xff, 0x61), '\ufffda');
  equal(decode(0xe2, 0x82), '\ufffd');
  equal(decode(0xf0, 0x9f, 0x61), '\ufffda');
  equal(decode(0xed, 0xa0, 0x80), '\ufffd\ufffd\ufffd');
  equal(decode(0xc0, 0x80), '\ufffd\ufffd');
});

test('fatal refuses malformed bytes', () => {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  equal(decoder.fatal, true);
  throws(() => decoder.decode(bytes(0xff)), 'TypeError');
  throws(() => decoder.decode(bytes(0xe2, 0x82)), 'TypeError');
  equal(decoder.decode(bytes(0x61)), 'a');
});

test('a byte order mark is taken away, once', () => {
  equal(new TextDecoder().decode(bytes(0xef, 0xbb, 0xbf, 0x61)), 'a');
  equal(new TextDecoder().decode(bytes(0xef, 0xbb, 0xbf, 0xef, 0xbb, 0xbf)), '\ufeff');
  equal(new TextDecoder().decode(bytes(0x61, 0xef, 0xbb, 0xbf)), 'a\ufeff');
});

test('a byte order mark stays where it is to be ignored', () => {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  equal(decoder.ignoreBOM, true);
  equal(decoder.decode(bytes(0xef, 0xbb, 0xbf, 0x61)), '\ufeffa');
});

test('a stream joins characters that were cut', () => {
  const decoder = new TextDecoder();
  equal(decoder.decode(bytes(0x61, 0xe2), { stream: true }), 'a');
  equal(decoder.decode(bytes(0x82), { stream: true }), '');
  equal(decoder.decode(bytes(0xac, 0xf0, 0x9f), { stream: true }), '€');
  equal(decoder.decode(bytes(0x98, 0x80)), '😀');
});

test('a stream that ends in the middle of a character says so', () => {
  const decoder = new TextDecoder();
  equal(decoder.decode(bytes(0xe2, 0x82), { stream: true }), '');
  equal(decoder.decode(), '\ufffd');
  equal(decoder.decode(bytes(0x61)), 'a');
});

test('a stream has one byte order mark, even if it is cut', () => {
  const decoder = new TextDecoder();
  equal(decoder.decode(bytes(0xef, 0xbb), { stream: true }), '');
  equal(decoder.decode(bytes(0xbf, 0x61), { stream: true }), 'a');
  equal(decoder.decode(bytes(0xef, 0xbb, 0xbf)), '\ufeff');
  equal(decoder.decode(bytes(0xef, 0xbb, 0xbf)), '');
});

test('a stream of malformed bytes does not wait for what cannot come', () => {
  const decoder = new TextDecoder();
  equal(decoder.decode(bytes(0xe0, 0x80), { stream: true }), '\ufffd\ufffd');
  equal(decoder.decode(bytes(0xf4, 0x90), { stream: true }), '\ufffd\ufffd');
  equal(decoder.decode(bytes(0xc2), { stream: true }), '');
  equal(decoder.decode(bytes(0x61)), '\ufffda');
});

test('a stream that is fatal refuses in its middle and at its end', () => {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  equal(decoder.decode(bytes(0xe2), { stream: true }), '');
  throws(() => decoder.decode(bytes(0x61), { stream: true }), 'TypeError');
  const other = new TextDecoder('utf-8', { fatal: true });
  other.decode(bytes(0xe2), { stream: true });
  throws(() => other.decode(), 'TypeError');
});

test('UTF-16 is read in both orders', () => {
  equal(new TextDecoder('utf-16le').decode(bytes(0x61, 0, 0x3d, 0xd8, 0, 0xde)), 'a😀');
  equal(new TextDecoder('utf-16').encoding, 'utf-16le');
  equal(new TextDecoder('utf-16le').decode(bytes(0xff, 0xfe, 0x61, 0)), 'a');
  equal(new TextDecoder('utf-16le').decode(bytes(0x61, 0, 0x62)), 'a\ufffd');
});

test('UTF-16 is read with the larger byte first', () => {
  equal(new TextDecoder('utf-16be').decode(bytes(0, 0x61, 0xd8, 0x3d, 0xde, 0)), 'a😀');
});

test('a stream of UTF-16 joins bytes and pairs', () => {
  const decoder = new TextDecoder('utf-16le');
  equal(decoder.decode(bytes(0x61), { stream: true }), '');
  equal(decoder.decode(bytes(0, 0x3d, 0xd8), { stream: true }), 'a');
  equal(decoder.decode(bytes(0), { stream: true }), '');
  equal(decoder.decode(bytes(0xde)), '😀');
});

test('latin1 is windows-1252', () => {
  const decoder = new TextDecoder('latin1');
  equal(decoder.encoding, 'windows-1252');
  equal(decoder.decode(bytes(0x41, 0xe9, 0xff)), 'Aéÿ');
});

test('windows-1252 has signs where latin1 has controls', 'sluice', () => {
  equal(new TextDecoder('ascii').decode(bytes(0x80, 0x99, 0x81)), '€™\x81');
});

test('labels are read without regard to case and outer space', () => {
  for (const label of ['utf8', ' UTF-8\n', 'unicode-1-1-utf-8', 'x-unicode20utf8']) {
    equal(new TextDecoder(label).encoding, 'utf-8');
  }
  for (const label of ['iso-8859-1', 'us-ascii', 'CP1252', 'l1', 'ISO_8859-1:1987']) {
    equal(new TextDecoder(label).encoding, 'windows-1252');
  }
});

test('an unknown encoding is a RangeError', () => {
  throws(() => new TextDecoder('nonsense'), 'RangeError');
  throws(() => new TextDecoder(''), 'RangeError');
  throws(() => new TextDecoder(null), 'RangeError');
});

test('an unknown encoding says which are known', 'sluice', () => {
  throws(() => new TextDecoder('shift_jis'), 'RangeError', 'utf-8, utf-16le, utf-16be, windows-1252');
});

test('members are for these objects alone', () => {
  throws(() => TextEncoder.prototype.encode.call({}, ''), 'TypeError');
  throws(() => TextDecoder.prototype.decode.call({}), 'TypeError');
  ok(Object.prototype.toString.call(new TextDecoder()) === '[object TextDecoder]');
});
