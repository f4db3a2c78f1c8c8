// TS2353: 'ttl' does not exist in type
export async function execute(input: Input): Promise<Outcome> {
  await kv.set('key', 1, { ttl: 60 })
  return { kind: 'continue' }
}
