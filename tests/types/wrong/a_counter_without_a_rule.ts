// TS2554: Expected 2 arguments, but got 1
export async function execute(input: Input): Promise<Outcome> {
  await counters.take('key')
  return { kind: 'continue' }
}
