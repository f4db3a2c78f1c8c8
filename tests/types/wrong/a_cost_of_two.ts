// TS2322: Type '2' is not assignable to type '0 | 1 | undefined'
export async function execute(input: Input): Promise<Outcome> {
  await counters.take('key', { limit: 5, window_s: 60, cost: 2 })
  return { kind: 'continue' }
}
