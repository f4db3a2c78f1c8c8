// TS2322: "replace"' is not assignable
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue', claims: [{ token: 'id', name: 'plan', value: 1, if_exists: 'replace' }] }
}
