import { cached, keyOf } from './cache'
import { ask, type Api, type Entitlements } from './entitlements'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = {
  url: string
  claim: string
  plan_claim?: string
  on_failure: 'continue' | 'block'
  timeout_ms: number
  user_message: string
}

/** Kept back of the time that the run has left, for what comes after an answer. */
const RESERVE_MS = 100

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { config, deadline_ms } = input.context
  const { user } = input
  if (!user) return { kind: 'continue' }

  const api: Api = {
    url: config.url,
    key: secrets.get('API_KEY'),
    // A run that meets its wall limit is ended, and the attachment's policy decides. Here the config is to decide.
    timeout_ms: Math.max(1, Math.min(config.timeout_ms, deadline_ms - RESERVE_MS)),
  }
  const answer = await cached(await keyOf(api.url, user.id), () => ask(api, user.id))

  if ('failure' in answer) {
    const reason_code = `entitlements_${answer.failure}`
    if (config.on_failure === 'continue') return { kind: 'continue', reason_code }
    return { kind: 'block', reason_code, user_message: config.user_message }
  }
  return { kind: 'continue', claims: claims(answer, config) }
}

function claims({ entitlements, plan }: Entitlements, config: Config): Claim[] {
  const list: Claim[] = [{ token: 'both', name: config.claim, value: entitlements }]
  if (config.plan_claim && plan !== null) list.push({ token: 'both', name: config.plan_claim, value: plan })
  return list
}
