// TS2322: Type '"user"' is not assignable to type
export async function execute(input: Input): Promise<Outcome> {
  await counters.take('key', { limit: 5, window_s: 60, scope: 'user' })
  return { kind: 'continue' }
}
