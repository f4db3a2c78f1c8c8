// TS2322: "forbidden"' is not assignable
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'block', error: 'forbidden' }
}
