// What the cases are written with. They are what the web does, so that they run in Node too (`run('web')`); a case that
// names 'sluice' before its function is Sluice's own.

const tests = [];

/** A case: its sentence, 'sluice' where it holds nowhere else, and what it does. */
export function test(name, ...rest) {
  const body = rest.pop();
  tests.push({ name, only: rest[0], body });
}

/** Runs all cases, one after the other, or the one of that number, and answers `{name, ok, message}` of each. */
export async function run(world = 'sluice', number = undefined) {
  const results = [];
  const held = tests.filter(({ only }) => only === undefined || only === world);
  for (const { name, body } of number === undefined ? held : held.slice(number, number + 1)) {
    try {
      await body();
      results.push({ name, ok: true, message: '' });
    } catch (error) {
      const stack = error instanceof Error ? `\n${error.stack}` : '';
      results.push({ name, ok: false, message: `${error}${stack}` });
    }
  }
  return results;
}

function show(value) {
  if (typeof value === 'string') {
    return JSON.stringify(value);
  }
  if (typeof value === 'bigint') {
    return `${value}n`;
  }
  if (typeof value !== 'object' || value === null) {
    return Object.is(value, -0) ? '-0' : String(value);
  }
  if (value instanceof Map || value instanceof Set) {
    return `${value.constructor.name} [${[...value].map(show).join(', ')}]`;
  }
  if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    return `[${Array.from(value).map(show).join(', ')}]`;
  }
  return `{${Object.keys(value).map((key) => `${key}: ${show(value[key])}`).join(', ')}}`;
}

function same(a, b) {
  if (Object.is(a, b)) {
    return true;
  }
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return false;
  }
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) {
    return false;
  }
  if (a instanceof ArrayBuffer) {
    return same(new Uint8Array(a), new Uint8Array(b));
  }
  if (a instanceof Date) {
    return Object.is(a.getTime(), b.getTime());
  }
  if (a instanceof RegExp) {
    return String(a) === String(b);
  }
  if (a instanceof Map || a instanceof Set) {
    return same([...a], [...b]);
  }
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && a.length === b.length &&
    keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
}

/** Deeply the same: kinds, elements and properties. */
export function equal(actual, expected) {
  if (!same(actual, expected)) {
    throw new Error(`got ${show(actual)}, expected ${show(expected)}`);
  }
}

export function ok(value) {
  if (!value) {
    throw new Error(`${show(value)} is not true`);
  }
}

function check(error, kind, part) {
  const right = typeof kind === 'function' ? error instanceof kind : error?.name === kind;
  if (!right) {
    throw new Error(`the error is ${error}, expected ${typeof kind === 'function' ? kind.name : kind}`);
  }
  if (part !== undefined && !String(error.message).includes(part)) {
    throw new Error(`the error says '${error.message}', expected '${part}'`);
  }
  return error;
}

/** The function throws an error of that name or class, and says a part of a message where one is given. */
export function throws(body, kind, part) {
  let result;
  try {
    result = body();
  } catch (error) {
    return check(error, kind, part);
  }
  throw new Error(`nothing was thrown, but ${show(result)} returned`);
}

/** As `throws`, of a promise, or of a function that makes one. */
export async function rejects(promise, kind, part) {
  let result;
  try {
    result = await (typeof promise === 'function' ? promise() : promise);
  } catch (error) {
    return check(error, kind, part);
  }
  throw new Error(`nothing was rejected, but resolved to ${show(result)}`);
}
