// console, by the Console standard, in lines of a log: what the engine's own console has no function for, and groups
// and format specifiers for those that it has.
(function (native, web) {
  'use strict';

  const { log, now } = native;
  const { console } = globalThis;
  const { keys } = Object;
  const { isArray } = Array;

  const [DEBUG, INFO, WARN, ERROR] = [0, 1, 2, 3];
  const SPECIFIER = /%[sdifoOc%]/;

  let indent = '';
  const counts = new Map();
  const timers = new Map();

  /** Shows what a format specifier stands for: its text, or the value itself where the host is to show it. */
  function specified(kind, value) {
    const primitive = (typeof value !== 'object' && typeof value !== 'function') || value === null;
    switch (kind) {
      case 's':
        return primitive ? [String(value)] : [value, true];
      case 'd':
      case 'i':
      case 'f':
        if (typeof value === 'bigint' && kind !== 'f') {
          return [`${value}n`];
        }
        if (!primitive || typeof value === 'symbol') {
          return ['NaN'];
        }
        return [String(kind === 'd' ? Number(value) : kind === 'i' ? parseInt(value, 10) : parseFloat(value))];
      case 'c':
        return [''];
      default:
        return [value, true];
    }
  }

  /** The values of a line with what its first says of how they are shown. The host puts a space between values. */
  function format(values) {
    const line = [];
    let text = values[0];
    let next = 1;
    let before = '';
    for (let match; next < values.length && (match = SPECIFIER.exec(text)) !== null;) {
      before += text.slice(0, match.index);
      text = text.slice(match.index + 2);
      if (match[0] === '%%') {
        before += '%';
        continue;
      }
      const [shown, whole] = specified(match[0][1], values[next++]);
      if (whole) {
        if (before !== '') {
          line.push(before.endsWith(' ') ? before.slice(0, -1) : before);
          before = '';
        }
        line.push(shown);
        text = text.startsWith(' ') ? text.slice(1) : text;
      } else {
        before += shown;
      }
    }
    before += text.replaceAll('%%', '%');
    if (before !== '' || line.length === 0) {
      line.push(before);
    }
    return [...line, ...values.slice(next)];
  }

  function print(level, values) {
    let line = values;
    if (values.length > 1 && typeof values[0] === 'string' && values[0].includes('%')) {
      line = format(values);
    }
    if (indent === '') {
      log(level, ...line);
    } else if (typeof line[0] === 'string') {
      log(level, indent + line[0].replaceAll('\n', `\n${indent}`), ...line.slice(1));
    } else {
      log(level, indent.slice(1), ...line);
    }
  }

  const label = (given) => (given === undefined ? 'default' : `${given}`);

  function elapsed(name, values) {
    const begun = timers.get(name);
    if (begun === undefined) {
      print(WARN, [`there is no timer '${name}'`]);
    } else {
      print(INFO, [`${name}: ${(now() - begun).toFixed(3)}ms`, ...values]);
    }
  }

  function cell(value) {
    if (typeof value === 'object' && value !== null) {
      return isArray(value) ? '[Array]' : '[Object]';
    }
    return typeof value === 'function' ? '[Function]' : typeof value === 'string' ? `'${value}'` : String(value);
  }

  /** The rows of something tabular: each its index, and its cells by column; 'Values' has what is no object. */
  function rowsOf(data) {
    if (data instanceof Map) {
      return [...data].map(([key, value], index) => [String(index), new Map([['Key', key], ['Values', value]])]);
    }
    const entries = data instanceof Set ? [...data].entries() : keys(data).map((key) => [key, data[key]]);
    return [...entries].map(([index, value]) => {
      const columns = typeof value === 'object' && value !== null;
      return [String(index), new Map(columns ? keys(value).map((key) => [key, value[key]]) : [['Values', value]])];
    });
  }

  function tableOf(data, chosen) {
    const rows = rowsOf(data);
    const names = new Set(chosen ?? rows.flatMap(([, cells]) => [...cells.keys()].filter((name) => name !== 'Values')));
    if (chosen === undefined && rows.some(([, cells]) => cells.has('Values'))) {
      names.add('Values');
    }
    const lines = [['(index)', ...names]];
    for (const [index, cells] of rows) {
      lines.push([index, ...[...names].map((name) => (cells.has(name) ? cell(cells.get(name)) : ''))]);
    }
    const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
    const text = lines.map((line) => line.map((item, column) => item.padEnd(widths[column])).join(' | ').trimEnd());
    text.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('-|-'));
    return text.join('\n');
  }

  const functions = {
    debug(...values) { print(DEBUG, values); },
    log(...values) { print(INFO, values); },
    info(...values) { print(INFO, values); },
    warn(...values) { print(WARN, values); },
    error(...values) { print(ERROR, values); },

    assert(condition = false, ...values) {
      if (condition) {
        return;
      }
      if (typeof values[0] === 'string') {
        print(ERROR, [`Assertion failed: ${values[0]}`, ...values.slice(1)]);
      } else {
        print(ERROR, ['Assertion failed', ...values]);
      }
    },

    clear() {
      indent = '';
    },

    count(name = undefined) {
      const key = label(name);
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      print(INFO, [`${key}: ${count}`]);
    },

    countReset(name = undefined) {
      const key = label(name);
      if (!counts.delete(key)) {
        print(WARN, [`there is no count '${key}'`]);
      }
    },

    dir(value = undefined, options = undefined) { print(INFO, [value]); },
    dirxml(...values) { print(INFO, values); },

    group(...values) {
      if (values.length > 0) {
        print(INFO, values);
      }
      indent += '  ';
    },

    groupCollapsed(...values) { functions.group(...values); },

    groupEnd() {
      indent = indent.slice(2);
    },

    table(data = undefined, columns = undefined) {
      if (typeof data !== 'object' || data === null) {
        print(INFO, [data]);
      } else {
        print(INFO, [tableOf(data, columns === undefined ? undefined : [...columns].map(String))]);
      }
    },

    time(name = undefined) {
      const key = label(name);
      if (timers.has(key)) {
        print(WARN, [`there is a timer '${key}' already`]);
      } else {
        timers.set(key, now());
      }
    },

    timeLog(name = undefined, ...values) { elapsed(label(name), values); },

    timeEnd(name = undefined) {
      const key = label(name);
      elapsed(key, []);
      timers.delete(key);
    },

    trace(...values) {
      const { stack } = new Error();
      // The first line is this function.
      const lines = `${stack}`.split('\n').filter((line) => line.trim().startsWith('at ')).slice(1);
      print(INFO, [values.length > 0 ? 'Trace:' : 'Trace', ...values, `\n${lines.join('\n')}`]);
    },
  };

  for (const name of keys(functions)) {
    const value = functions[name];
    Object.defineProperty(console, name, { value, writable: true, configurable: true, enumerable: true });
  }
  Object.defineProperty(console, Symbol.toStringTag, { value: 'console', configurable: true });
})
