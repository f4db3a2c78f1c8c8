// TS2322: Type 'bigint' is not assignable
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue', state: { count: 1n } }
}
