// Dotted paths into the input, such as `user.app_metadata.plan`. An item of a list is named by its number.

// This is done for every path at every run, so with indices: an iterator for each loop would cost more than the rest.

/** The keys of a path, from the input on. */
export type Keys = string[]

const { hasOwn } = Object

/** What stands at a path; undefined where nothing does. What all objects inherit is nothing. */
export function read(input: Input<unknown>, keys: Keys): Json | undefined {
  let value = input as unknown as Json | undefined
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]
    if (typeof value !== 'object' || value === null || key === '__proto__' || !hasOwn(value, key)) return undefined
    if (key === 'length' && Array.isArray(value)) return undefined
    value = (value as JsonObject)[key]
  }
  return value
}

/**
 * The keys of a path into what is known of the user, the organisation, the client and the state: the values of claims and of a
 * redirect's query come from there. Null for any other.
 */
export function userKeys(path: string): Keys | null {
  const keys = path.split('.')
  let within = 1
  switch (keys[0]) {
    case 'user':
    case 'state':
      break
    case 'request':
      if (keys[1] !== 'client') return null
      within = 2
      break
    case 'context':
      if (keys[1] !== 'organization') return null
      within = 2
      break
    default:
      return null
  }
  return keys.length > within && areKeys(keys) ? keys : null
}

/**
 * The keys of a path to what may be sent away with an event; null for any other. Headers, the config and the token stay, as
 * credentials may stand in them, and so does all that holds them.
 */
export function eventKeys(path: string): Keys | null {
  const keys = path.split('.')
  const part = keys[1]
  switch (keys[0]) {
    case 'trigger':
    case 'user':
    case 'state':
      break
    case 'request':
      if (part === undefined || part === 'headers') return null
      break
    case 'context':
      if (part === undefined || part === 'config' || part === 'token') return null
      break
    default:
      return null
  }
  return areKeys(keys) ? keys : null
}

function areKeys(keys: Keys): boolean {
  for (let i = 0; i < keys.length; i++) {
    if (keys[i] === '' || keys[i] === '__proto__') return false
  }
  return true
}
