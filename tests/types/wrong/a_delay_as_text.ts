// TS2322: Type 'string' is not assignable to type 'number'
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'block', retry_after_s: '30' }
}
