// Metadata is any JSON: each look narrows it.

export async function execute(input: Input): Promise<Outcome> {
  const metadata = input.user?.app_metadata
  const { plan, seats, limits, tags } = metadata ?? {}
  const name: string = typeof plan === 'string' ? plan.toUpperCase() : 'FREE'
  const left: number = typeof seats === 'number' ? seats - 1 : 0
  const labels: string[] = Array.isArray(tags) ? tags.filter((tag) => typeof tag === 'string') : []
  let daily: Json | undefined
  if (typeof limits === 'object' && limits !== null && !Array.isArray(limits)) daily = limits.daily
  if (input.user && Object.hasOwn(input.user.user_metadata, 'theme')) console.log(input.user.user_metadata.theme)
  return { kind: 'continue', state: { name, left, labels, daily } }
}
