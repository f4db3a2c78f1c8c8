// What is Sluice's own.

type Profile = { plan: string; seats?: number }

export async function execute(input: Input): Promise<Outcome> {
  const id = input.user?.id ?? 'nobody'
  const { allowed, remaining, retry_after_s } = await counters.take(`login:${id}`, { limit: 5, window_s: 300 })
  if (!allowed) return { kind: 'block', error: 'rate_limited', retry_after_s }
  await counters.take('all', { limit: 100, window_s: 60, algorithm: 'token_bucket', burst: 200, scope: 'tenant', block_s: 60 })
  const asked = await counters.take(`login:${id}`, {
    limit: 5, window_s: 300, algorithm: 'sliding_window', cost: 0, reset: true, scope: 'flow',
  })

  const profile = (await kv.get<Profile>(id)) ?? { plan: 'free' }
  const anything: Json = await kv.get('anything')
  await kv.set(id, profile, { ttl_s: 60 })
  await kv.delete('anything')

  const secret: string = secrets.get('API_KEY')
  return { kind: 'continue', state: { remaining, asked: asked.remaining, profile, anything, length: secret.length } }
}
