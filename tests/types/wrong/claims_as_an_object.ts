// TS2353: 'plan' does not exist in type 'Claim[]'
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue', claims: { plan: 'free' } }
}
