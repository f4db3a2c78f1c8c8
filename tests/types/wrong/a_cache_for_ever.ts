// TS2554: Expected 3 arguments, but got 2
export async function execute(input: Input): Promise<Outcome> {
  await kv.set('key', 1)
  return { kind: 'continue' }
}
