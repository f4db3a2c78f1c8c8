// TS2322: Type 'number' is not assignable to type 'string'
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'block', reason_code: 403 }
}
