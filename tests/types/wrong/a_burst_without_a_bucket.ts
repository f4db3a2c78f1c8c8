// TS2345: is not assignable to parameter of type 'CounterOptions'
export async function execute(input: Input): Promise<Outcome> {
  await counters.take('key', { limit: 5, window_s: 60, burst: 10 })
  return { kind: 'continue' }
}
