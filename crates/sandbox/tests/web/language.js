// What there is of the language's parts that depend on a locale, without Intl.
import { equal, test } from './harness.js';

const date = new Date(Date.UTC(2026, 2, 5, 14, 7, 9));

test('a number has one form', 'sluice', () => {
  equal((1234567.5).toLocaleString('de'), '1234567.5');
  equal((0.1).toLocaleString('en', { style: 'percent' }), '0.1');
  equal(1234567n.toLocaleString('de'), '1234567');
});

test('a date has one form, and the time zone is UTC', 'sluice', () => {
  equal(date.toLocaleDateString('de', { dateStyle: 'long' }), '03/05/2026');
  equal(date.toLocaleTimeString('de'), '02:07:09 PM');
  equal(date.toLocaleString('de', { timeZone: 'Europe/Berlin' }), '03/05/2026, 02:07:09 PM');
  equal([date.getTimezoneOffset(), date.getHours()], [0, 14]);
});

test('localeCompare compares code points, of what is normalized', 'sluice', () => {
  equal(['a'.localeCompare('b', 'sv'), 'ä'.localeCompare('z', 'sv'), 'a'.localeCompare('B')], [-1, 1, 1]);
  equal('a'.localeCompare('A', undefined, { sensitivity: 'base' }), 1);
  equal('2'.localeCompare('10', undefined, { numeric: true }), 1);
  equal('\u00e9'.localeCompare('e\u0301'), 0);
});

test('letters change their case by no locale', 'sluice', () => {
  equal(['I'.toLocaleLowerCase('tr'), 'i'.toLocaleUpperCase('tr')], ['i', 'I']);
});

test('text is normalized in each form', () => {
  equal(['NFC', 'NFD', 'NFKC', 'NFKD'].map((form) => '\u00e9\ufb01'.normalize(form).length), [2, 3, 3, 4]);
});

test('there is no Intl', 'sluice', () => {
  equal(typeof Intl, 'undefined');
});
