/** That a user belongs to an organization, and as what. */
export type Membership = { id: string; role?: string }

/**
 * The memberships of a user: `app_metadata.organizations`, such as `["acme", { "id": "initech", "role": "admin" }]`.
 *
 * They are in app_metadata because users can change their user_metadata themselves. Applications may have written anything
 * there, so its shape is checked and not assumed: what does not fit is no membership.
 */
export function memberships(user: User | null): Membership[] {
  const list = user?.app_metadata.organizations
  return Array.isArray(list) ? list.flatMap((entry) => membership(entry) ?? []) : []
}

function membership(entry: Json): Membership | null {
  if (typeof entry === 'string') return { id: entry }
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return null
  const { id, role } = entry
  if (typeof id !== 'string') return null
  return typeof role === 'string' ? { id, role } : { id }
}
