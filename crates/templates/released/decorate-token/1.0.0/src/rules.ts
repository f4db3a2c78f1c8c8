import { fitsJson } from './shared/json'
import { userKeys } from './shared/paths'

/** One claim as the config describes it. */
export type ClaimRule = {
  name: string
  source: 'static' | 'path'
  value?: Json
  path?: string
  token: 'id' | 'access' | 'both'
  if_exists: 'keep' | 'overwrite' | 'error'
  on_missing: 'omit' | 'null' | 'block'
}

/** The most bytes of one value as JSON. */
export const MAX_VALUE_BYTES = 1024
/** Claims that say who a user is and what they may do: applications trust them without a second look. */
const PROFILE_CLAIMS = ['email', 'name', 'roles', 'groups', 'permissions', 'entitlements']

/** What is wrong with a claim, and with which of its fields: none where one is missing. Null where nothing is. */
export function mistakeOf(rule: ClaimRule, allowProfileClaims: boolean): { field: string; message: string } | null {
  const { name, source, value, path } = rule
  if (!allowProfileClaims && PROFILE_CLAIMS.includes(name.normalize('NFKC').toLowerCase())) {
    return { field: '/name', message: `${name} is a profile claim: allow_profile_claims has to be true` }
  }
  if (source === 'static') {
    if (path !== undefined) return { field: '/path', message: 'a static claim has a value and no path' }
    if (value === undefined) return { field: '', message: 'a static claim needs a value' }
    if (!fitsJson(value, MAX_VALUE_BYTES)) return { field: '/value', message: 'a value has at most 1 KiB of JSON' }
    return null
  }
  if (value !== undefined) return { field: '/value', message: 'a claim by path has no value' }
  if (path === undefined) return { field: '', message: 'a claim by path needs a path' }
  if (userKeys(path)) return null
  return { field: '/path', message: 'a path begins with user., state., context.organization. or request.client.' }
}
