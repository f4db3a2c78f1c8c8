// input:  { trigger, user, request, state, context }
// return: { kind: 'continue' | 'block' | 'demand_mfa' | 'redirect' }
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue' }
}
