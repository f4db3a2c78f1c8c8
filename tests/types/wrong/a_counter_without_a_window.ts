// TS2345: Property 'window_s' is missing
export async function execute(input: Input): Promise<Outcome> {
  await counters.take('key', { limit: 5 })
  return { kind: 'continue' }
}
