/** Which of the fields a user lacks. A field is written as `user.user_metadata.birthday`. */
export function missing(user: User, fields: string[]): string[] {
  return fields.filter((field) => {
    const value = read(user, field)
    // An empty text is no answer. `false` and 0 are.
    return value === undefined || value === null || value === ''
  })
}

/** The value of a field; undefined where there is none. */
function read(user: User, field: string): Json | undefined {
  // The schema lets nothing through that begins with another word than these two.
  const [, root, ...keys] = field.split('.')
  let value: Json | undefined = root === 'app_metadata' ? user.app_metadata : user.user_metadata
  for (const key of keys) {
    // Only objects have keys of their own. All of them inherit `constructor` and the like, which nobody filled in.
    if (!isObject(value) || !Object.hasOwn(value, key)) return undefined
    value = value[key]
  }
  return value
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
