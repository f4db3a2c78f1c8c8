import { inCidrs, parseAddress, prefixOf } from './shared/address'
import type { Checked, CheckedFor } from './shared/check'
import { checkLimit, refuse, succeeded, takeOptions, type LimitRules } from './shared/limit'
import { inScope, type Scope } from './shared/scope'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = LimitRules &
  Scope & {
    count: 'attempts' | 'failures'
    ipv4_prefix: number
    ipv6_prefix: number
    allow_cidrs: string[]
    scope: 'attachment' | 'flow' | 'tenant'
    on_missing_ip: 'block' | 'continue'
  }

const REASON = 'rate_limited_ip'

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { config } = input.context
  if (!inScope(input)) return { kind: 'continue' }

  // A forwarded header is what a client says. The auth engine knows which of them to believe.
  const address = parseAddress(input.request.ip ?? '')
  if (address === null) {
    return config.on_missing_ip === 'continue' ? { kind: 'continue' } : refuse(REASON, config.window_s, config)
  }
  if (inCidrs(address, config.allow_cidrs)) return { kind: 'continue' }

  // Where failures are counted, a success is not, and is still refused above the limit.
  const cost = config.count === 'failures' && succeeded(input) ? 0 : 1
  const key = `ip:${prefixOf(address, config.ipv4_prefix, config.ipv6_prefix)}`
  const options = takeOptions(config, cost)
  options.scope = config.scope
  const { allowed, retry_after_s } = await counters.take(key, options)
  return allowed ? { kind: 'continue' } : refuse(REASON, retry_after_s, config)
}

export function checkConfig(config: Config, { trigger }: CheckedFor): Checked<Config> {
  return { config, errors: checkLimit(config, trigger), warnings: [] }
}
