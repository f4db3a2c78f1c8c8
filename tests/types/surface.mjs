// What Actions find beside the language, read from the types (crates/cli/starters/sluice.d.ts) by TypeScript's own checker, and
// held against the two that have to say the same:
//   surface.json      which the engine is held against, in both directions (crates/sandbox/tests)
//   docs/actions.md   the table between its two marks
// UPDATE_DOCS=1 writes both anew.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const HERE = dirname(fileURLToPath(import.meta.url))
const SURFACE = join(HERE, 'surface.json')
const DOCS = resolve(HERE, '../../docs/actions.md')
const FAILURES = resolve(HERE, '../../crates/model/src/http.rs')

/** What the compiler's library declares and the engine lacks: a `lib` cannot leave it out. */
const ONLY_DECLARED = ['Atomics', 'Intl']

/** What the engine has of the language that the library of ES2024 does not declare. */
const NEWER = ['AsyncDisposableStack', 'DisposableStack', 'Float16Array', 'InternalError', 'Iterator', 'SuppressedError']

/** Members that the engine has only to say what there is instead. They are not declared, so that they do not compile. */
const BODY = { blob: 0, body: null, formData: 0 }
const REFUSED = {
  Request: BODY,
  Response: BODY,
  SubtleCrypto: { decrypt: 3, deriveBits: 2, deriveKey: 5, encrypt: 3, unwrapKey: 7, wrapKey: 4 },
}

/** Names of the web and of Node.js that are not there. None may be declared; the engine's failures say what there is instead. */
const ABSENT = [
  'Blob', 'BroadcastChannel', 'Buffer', 'Bun', 'ByteLengthQueuingStrategy', 'CompressionStream', 'CountQueuingStrategy',
  'DecompressionStream', 'Deno', 'ErrorEvent', 'EventSource', 'File', 'FileReader', 'FormData', 'MessageChannel',
  'MessageEvent', 'MessagePort', 'PromiseRejectionEvent', 'ReadableStream', 'Temporal', 'TextDecoderStream',
  'TextEncoderStream', 'TransformStream', 'URLPattern', 'WebAssembly', 'WebSocket', 'Worker', 'WritableStream',
  'XMLHttpRequest', '__dirname', '__filename', 'addEventListener', 'alert', 'caches', 'cancelAnimationFrame',
  'clearImmediate', 'confirm', 'dispatchEvent', 'document', 'exports', 'global', 'history', 'indexedDB', 'localStorage',
  'location', 'module', 'process', 'prompt', 'removeEventListener', 'requestAnimationFrame', 'require', 'sessionStorage',
  'setImmediate', 'window',
]

/** The checks; each calls `check` with a mistake, or with null. */
export function checkSurface(ts, program, types, check) {
  const read = new Types(ts, program, types)
  const surface = read.surface()
  const declared = ABSENT.filter((name) => read.values.has(name))
  check(declared.length === 0 ? null : `sluice.d.ts declares what is not there: ${declared.join(', ')}`)
  check(failuresOf(read))
  same(SURFACE, text(surface), check)
  const docs = readFileSync(DOCS, 'utf8')
  same(DOCS, withTable(docs, surface), check)
}

/** A file has to be as it is made; UPDATE_DOCS=1 makes it so. */
function same(file, made, check) {
  if (process.env.UPDATE_DOCS) writeFileSync(file, made)
  let found = ''
  try {
    found = readFileSync(file, 'utf8')
  } catch {
    // It is as empty as one that is not there.
  }
  if (found === made) return check(null)
  const [lines, expected] = [found.split('\n'), made.split('\n')]
  const at = expected.findIndex((line, index) => line !== lines[index])
  check(`${file}:${at + 1} is not what sluice.d.ts says: UPDATE_DOCS=1 writes it anew. It has ${JSON.stringify(lines[at])}, ` +
    `and is to have ${JSON.stringify(expected[at])}`)
}

/** The types, by name. */
class Types {
  constructor(ts, program, file) {
    this.ts = ts
    this.checker = program.getTypeChecker()
    this.source = program.getSourceFile(file)
    const inScope = this.checker.getSymbolsInScope(this.source, ts.SymbolFlags.Value)
    /** Every global value: its symbol. */
    this.values = new Map(inScope.map((symbol) => [symbol.name, symbol]))
    /** Those that this file declares. */
    this.own = inScope.filter((symbol) => (symbol.declarations ?? []).some((node) => node.getSourceFile() === this.source))
  }

  surface() {
    const own = new Set(this.own.map(({ name }) => name))
    const language = [...this.values.keys()].filter((name) => !own.has(name) && !ONLY_DECLARED.includes(name))
    return {
      globals: Object.fromEntries(this.own.map((symbol) => [symbol.name, this.global(symbol)]).sort(byName)),
      language: [...new Set([...language, ...NEWER, 'globalThis', 'undefined'])].sort(),
      absent: [...ABSENT, ...ONLY_DECLARED].sort(),
    }
  }

  global(symbol) {
    const type = this.checker.getTypeOfSymbol(symbol)
    const instance = this.instanceOf(symbol, type)
    if (instance !== undefined) {
      const own = (properties) => properties.filter((property) => this.isOwn(property, symbol))
      return {
        kind: 'class',
        extends: this.parentOf(symbol, instance),
        // A constructor that is private is the platform's own: for an author it throws.
        construct: this.constructorOf(type),
        statics: this.members(own(type.getProperties().filter(({ name }) => name !== 'prototype'))),
        members: this.members(own(instance.getProperties())),
        refused: REFUSED[symbol.name] ?? {},
      }
    }
    const calls = type.getCallSignatures()
    if (calls.length > 0) return { kind: 'function', length: requiredOf(calls) }
    if (symbol.name === 'self') return { kind: 'object', of: 'globalThis', members: {} }
    const Class = type.symbol?.name
    // One that a class makes has the members of that.
    if (this.values.has(Class)) return { kind: 'object', of: Class, members: {} }
    return { kind: 'object', of: 'Object', members: this.members(type.getProperties()) }
  }

  /** The type of what a class makes; undefined of what is no class. */
  instanceOf(symbol, type) {
    if (symbol.flags & this.ts.SymbolFlags.Class) return this.checker.getDeclaredTypeOfSymbol(symbol)
    const [signature] = type.getConstructSignatures()
    return signature === undefined ? undefined : signature.getReturnType()
  }

  parentOf(symbol, instance) {
    const parents = (instance.getBaseTypes?.() ?? []).map((base) => base.symbol.name)
    return parents.find((name) => name !== symbol.name && this.values.has(name)) ?? null
  }

  constructorOf(type) {
    const signatures = type.getConstructSignatures()
    const hidden = signatures.some(({ declaration }) => {
      const flags = declaration === undefined ? 0 : this.ts.getCombinedModifierFlags(declaration)
      return (flags & this.ts.ModifierFlags.Private) !== 0
    })
    return hidden ? null : requiredOf(signatures)
  }

  /** Whether a property is a class's own, or of an interface that it is put together of; not of the class that it extends. */
  isOwn(property, symbol) {
    return property.declarations.some(({ parent }) => {
      const name = parent.name?.text
      return name === symbol.name || !this.values.has(name)
    })
  }

  /** Each by its name: a method's number of arguments that have to be given, null of what is no method. */
  members(properties) {
    return Object.fromEntries(
      properties
        .map((property) => {
          const calls = property.flags & this.ts.SymbolFlags.Method
            ? this.checker.getTypeOfSymbol(property).getCallSignatures()
            : []
          // `__@iterator@23` is how the compiler calls the key Symbol.iterator.
          const name = property.name.replace(/^__@(\w+)@\d+$/, '[Symbol.$1]')
          return [name, calls.length === 0 ? null : requiredOf(calls)]
        })
        .sort(byName),
    )
  }

  /** The words of a type that is one of several texts. */
  words(name) {
    const node = this.source.statements.find((s) => this.ts.isTypeAliasDeclaration(s) && s.name.text === name)
    const { types } = this.checker.getTypeAtLocation(node)
    return types.map(({ value }) => value)
  }
}

function requiredOf(signatures) {
  return Math.min(...signatures.map((signature) => signature.minArgumentCount))
}

function byName([a], [b]) {
  return a < b ? -1 : a > b ? 1 : 0
}

/** The codes of failures are the platform's, but for the one that is a denial. */
function failuresOf(read) {
  const enumeration = /HttpFailure \{([\s\S]*?)\n {4}\}/.exec(readFileSync(FAILURES, 'utf8'))?.[1] ?? ''
  const known = [...enumeration.matchAll(/= "(\w+)",/g)].map(([, word]) => word).filter((word) => word !== 'host_not_declared')
  const words = read.words('FetchFailure')
  const differ = [...known.filter((word) => !words.includes(word)), ...words.filter((word) => !known.includes(word))]
  return known.length > 0 && differ.length === 0 ? null : `FetchFailure and HttpFailure differ: ${differ.join(', ')}`
}

/** As JSON that a change of one member changes in one line. */
function text(surface) {
  const list = (names) => names.map((name) => JSON.stringify(name)).join(',\n    ')
  const globals = Object.entries(surface.globals).map(([name, global]) => `    ${JSON.stringify(name)}: ${one(global)}`)
  return `{
  "globals": {
${globals.join(',\n')}
  },
  "language": [
    ${list(surface.language)}
  ],
  "absent": [
    ${list(surface.absent)}
  ]
}
`
}

function one(global) {
  const entries = Object.entries(global).map(([key, value]) => {
    const members = value !== null && typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : []
    if (members.length === 0) return `${JSON.stringify(key)}: ${JSON.stringify(value)}`
    const lines = members.map(([name, length]) => `        ${JSON.stringify(name)}: ${length}`)
    return `${JSON.stringify(key)}: {\n${lines.join(',\n')}\n      }`
  })
  return `{\n      ${entries.join(',\n      ')}\n    }`
}

const BEGIN = '<!-- The globals, made of the types by tests/types/surface.mjs; UPDATE_DOCS=1 writes them anew -->'
const END = '<!-- The end of the globals -->'

function withTable(docs, surface) {
  const [begin, end] = [docs.indexOf(BEGIN), docs.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`${DOCS} lacks the marks ${BEGIN} and ${END}`)
  return `${docs.slice(0, begin + BEGIN.length)}\n${table(surface)}${docs.slice(end)}`
}

function table({ globals }) {
  const names = Object.keys(globals).sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1))
  const rows = names.map((name) => {
    const global = globals[name]
    if (global.kind === 'function') return `| \`${name}()\` | |`
    if (global.kind === 'object' && global.of === 'globalThis') return `| \`${name}\` | the global object |`
    if (global.kind === 'object' && global.of !== 'Object') return `| \`${name}\` | the one \`${global.of}\` |`
    return `| \`${name}\` | ${has(name, global)} |`
  })
  return `| global | what it has |\n| --- | --- |\n${rows.join('\n')}\n`
}

/** The members of a class or an object, in one line. */
function has(name, global) {
  const isConstant = (member) => /^[A-Z_]+$/.test(member)
  const list = (members) => Object.entries(members)
    .filter(([member]) => !isConstant(member))
    .map(([member, length]) => `\`${member}${length === null ? '' : '()'}\``)
  const parts = [list(global.members).join(', ')]
  if (global.kind === 'class') {
    const statics = list(global.statics).map((member) => member.replace('`', `\`${name}.`))
    if (statics.length > 0) parts.push(statics.join(', '))
    if (Object.keys(global.statics).some(isConstant)) parts.push('the constants of the standard')
    const refused = list(global.refused)
    if (refused.length > 0) parts.push(`${refused.join(', ')} say what there is instead`)
    if (global.extends !== null) parts.push(`what \`${global.extends}\` has`)
    if (global.construct === null) parts.push('no constructor')
  }
  return parts.filter((part) => part !== '').join('; ')
}
