// What an Action was given can go into state, claims and events as it is.

export async function execute(input: Input): Promise<Outcome> {
  const { user, request, context } = input
  if (user === null) return { kind: 'continue' }
  const seen = input.state.seen
  return {
    kind: 'continue',
    state: {
      seen: typeof seen === 'number' ? seen + 1 : 1,
      geo: request.geo,
      organization: context.organization,
      device: request.device ?? null,
      before: input.state,
    },
    claims: [
      { token: 'access', name: 'https://example.com/groups', value: user.groups },
      { token: 'access', name: 'https://example.com/roles', value: user.roles },
      { token: 'id', name: 'https://example.com/plan', value: user.app_metadata.plan ?? 'free' },
      { token: 'id', name: 'https://example.com/client', value: request.client },
    ],
    annotations: { logins: user.logins_count ?? 0, mode: context.mode },
    emit: [{ type: 'signed_in', data: { user, risk: context.risk }, to: [{ url_secret: 'HOOK' }] }],
  }
}
