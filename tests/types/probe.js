// An Action that holds the engine against surface.json, in both directions: the module beside it imports both. It is
// JavaScript for the engine, and reads nothing but what any Action can.

/** What differs between what is declared and what there is, each in a sentence; none: nothing. */
export function differences({ globals, language, absent }) {
  const found = []
  const there = Object.getOwnPropertyNames(globalThis)
  for (const name of there) {
    if (!Object.hasOwn(globals, name) && !language.includes(name)) found.push(`${name} is there and not declared`)
  }
  for (const name of language) {
    if (!there.includes(name)) found.push(`${name} is of the language and not there`)
  }
  for (const name of absent) {
    if (there.includes(name)) found.push(`${name} is to be absent and is there`)
  }
  for (const [name, declared] of Object.entries(globals)) {
    if (!there.includes(name)) found.push(`${name} is declared and not there`)
    else found.push(...differencesOf(name, globalThis[name], declared))
  }
  return found
}

function differencesOf(name, value, declared) {
  const kind = typeof value !== 'function' ? 'object' : isClass(value) ? 'class' : 'function'
  if (kind !== declared.kind) return [`${name} is a ${kind} and declared as a ${declared.kind}`]
  if (kind === 'function') {
    return value.length === declared.length ? [] : [`${name} has the length ${value.length}, not ${declared.length}`]
  }
  if (kind === 'object') {
    const of = value === globalThis ? 'globalThis' : Object.getPrototypeOf(value).constructor.name
    if (of !== declared.of) return [`${name} is of ${of} and declared as of ${declared.of}`]
    return of === 'globalThis' ? [] : compare(name, members(value), declared.members)
  }
  const found = []
  const Parent = Object.getPrototypeOf(value.prototype).constructor
  const parent = Parent === Object ? null : Parent.name
  if (parent !== declared.extends) found.push(`${name} extends ${parent} and is declared to extend ${declared.extends}`)
  if (declared.construct === null) {
    if (!throwsTypeError(() => new value())) found.push(`${name} can be constructed, and is declared as what cannot`)
  } else if (value.length !== declared.construct) {
    found.push(`${name} has the length ${value.length}, not ${declared.construct}`)
  }
  found.push(...compare(name, members(value), declared.statics))
  found.push(...compare(`${name}.prototype`, members(value.prototype), { ...declared.members, ...declared.refused }))
  return found
}

function isClass(value) {
  return Object.getOwnPropertyDescriptor(value, 'prototype')?.writable === false
}

function throwsTypeError(call) {
  try {
    call()
    return false
  } catch (error) {
    return error instanceof TypeError
  }
}

/** The members of an object's own: a method's length, null of what is no method. */
function members(object) {
  const isFunction = typeof object === 'function'
  const found = {}
  for (const key of Reflect.ownKeys(object)) {
    if (key === 'constructor' || key === Symbol.toStringTag) continue
    if (isFunction && ['length', 'name', 'prototype'].includes(key)) continue
    const { value } = Object.getOwnPropertyDescriptor(object, key)
    const name = typeof key === 'symbol' ? `[${key.description}]` : key
    found[name] = typeof value === 'function' ? value.length : null
  }
  return found
}

function compare(name, there, declared) {
  const found = []
  for (const member of Object.keys(there)) {
    if (!Object.hasOwn(declared, member)) found.push(`${name} has ${member}, which is not declared`)
  }
  for (const [member, length] of Object.entries(declared)) {
    if (!Object.hasOwn(there, member)) found.push(`${name} lacks ${member}, which is declared`)
    else if (there[member] !== length) {
      found.push(`${name}.${member} is ${shown(there[member])} and declared as ${shown(length)}`)
    }
  }
  return found
}

function shown(length) {
  return length === null ? 'no method' : `a method of the length ${length}`
}
