import { parseAddress, prefixOf } from './shared/address'
import type { Checked, CheckedFor } from './shared/check'
import { keyPart, normaliseIdentifier } from './shared/identifier'
import { checkLimit, refuse, succeeded, takeOptions, type LimitRules } from './shared/limit'
import { inScope, type Scope } from './shared/scope'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = LimitRules &
  Scope & {
    reset_on_success: boolean
    /** Unless set: user_and_ip at pre-login, else user. */
    key?: 'user' | 'identifier' | 'user_and_ip'
    on_missing_key: 'block' | 'continue'
  }

const REASON = 'rate_limited_user'
/** A single IPv4 address, and the network that one customer usually has of IPv6. */
const IPV4_PREFIX = 32
const IPV6_PREFIX = 64

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { config } = input.context
  if (!inScope(input)) return { kind: 'continue' }

  const key = await keyOf(input)
  if (key === null) {
    return config.on_missing_key === 'continue' ? { kind: 'continue' } : refuse(REASON, config.window_s, config)
  }

  const { allowed, retry_after_s } = await counters.take(key, optionsOf(input))
  return allowed ? { kind: 'continue' } : refuse(REASON, retry_after_s, config)
}

export function checkConfig(config: Config, { trigger }: CheckedFor): Checked<Config> {
  return { config, errors: checkLimit(config, trigger), warnings: [] }
}

/** What the attempt is counted under; null where that is not known. */
async function keyOf(input: Input<Config>): Promise<string | null> {
  const kind = input.context.config.key ?? (input.trigger === 'pre-login' ? 'user_and_ip' : 'user')
  const { user, request } = input
  let key: string
  if (user && kind !== 'identifier') {
    key = `user:${await keyPart(user.id)}`
  } else {
    // What is typed for an account that does not exist is counted as if it did.
    const identifier = normaliseIdentifier(request.identifier ?? '')
    if (identifier === '') return null
    key = `identifier:${await keyPart(identifier)}`
  }
  const address = kind === 'user_and_ip' ? parseAddress(request.ip ?? '') : null
  // The address stands first: an identifier may hold anything, a prefix holds no space.
  return address === null ? key : `ip:${prefixOf(address, IPV4_PREFIX, IPV6_PREFIX)} ${key}`
}

/**
 * What the attempt counts. Where failures are counted a success is not: it is refused above the limit as well, and clears the
 * count below it.
 */
function optionsOf(input: Input<Config>): CounterOptions {
  const { config } = input.context
  const count = config.count ?? (input.trigger === 'post-credential-validation' ? 'failures' : 'attempts')
  if (count === 'attempts' || !succeeded(input)) return takeOptions(config, 1)
  const options = takeOptions(config, 0)
  options.reset = config.reset_on_success
  return options
}
