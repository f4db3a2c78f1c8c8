// TS2322: Type 'number' is not assignable to type 'string'
export async function execute(input: Input): Promise<Outcome> {
  await fetch('https://example.com', { headers: { 'x-attempt': 2 } })
  return { kind: 'continue' }
}
