/** The fields that say whom an attachment looks at. */
export type Scope = { apply_to_clients: string[]; exempt_users: string[] }

/** Whether the sign-in is one that the attachment looks at: no clients means all of them. */
export function inScope(input: Input<Scope>): boolean {
  const { apply_to_clients, exempt_users } = input.context.config
  if (apply_to_clients.length > 0 && !apply_to_clients.includes(input.request.client.id)) return false
  return !(input.user && exempt_users.length > 0 && exempt_users.includes(input.user.id))
}
