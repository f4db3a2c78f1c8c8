// TS2339: Property 'allowed' does not exist on type 'Promise<CounterAnswer>'
export async function execute(input: Input): Promise<Outcome> {
  if (!counters.take('key', { limit: 5, window_s: 60 }).allowed) return { kind: 'block' }
  return { kind: 'continue' }
}
