// Dotted paths into the input, such as `user.app_metadata.plan`. An item of a list is named by its number.

/** The parts of the input that the values of claims and of a redirect's query may come from. */
const USER_PARTS = ['user', 'state', 'context.organization', 'request.client']
/** The parts that leave the platform with no event: credentials may stand in them. */
const WITHHELD_PARTS = ['request.headers', 'context.config', 'context.token']
const ROOTS = ['trigger', 'user', 'request', 'state', 'context']

/** What stands at a path; undefined where nothing does. What all objects inherit is nothing. */
export function read(input: Input<unknown>, path: string): Json | undefined {
  let value = input as unknown as Json | undefined
  for (const key of path.split('.')) {
    if (typeof value !== 'object' || value === null || key === '__proto__' || !Object.hasOwn(value, key)) return undefined
    if (Array.isArray(value) && key === 'length') return undefined
    value = (value as JsonObject)[key]
  }
  return value
}

/** Whether a path leads into what is known of the user, the organisation, the client and the state. */
export function isUserPath(path: string): boolean {
  return isPath(path) && USER_PARTS.some((part) => path.startsWith(`${part}.`))
}

/** Whether what stands at a path may be sent away: nothing that is withheld is in it, and it is in nothing that is. */
export function isEventPath(path: string): boolean {
  if (!isPath(path) || !ROOTS.includes(path.split('.', 1)[0])) return false
  return !WITHHELD_PARTS.some((part) => `${part}.`.startsWith(`${path}.`) || `${path}.`.startsWith(`${part}.`))
}

function isPath(path: string): boolean {
  return path.split('.').every((key) => key !== '' && key !== '__proto__')
}
