// TS2345: Argument of type 'Map<string, number>' is not assignable
export async function execute(input: Input): Promise<Outcome> {
  await kv.set('key', new Map([['a', 1]]), { ttl_s: 60 })
  return { kind: 'continue' }
}
