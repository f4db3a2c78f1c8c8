import { digest, normalized, PREFIX } from './digest'
import { breaches } from './range'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = {
  threshold: number
  on_breached: 'demand_mfa' | 'block'
  max_lookups_per_minute: number
  user_message: string
}

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { config } = input.context

  // An identifier may be a name or a number: only an address is looked up.
  const address = normalized(input.user?.email) ?? normalized(input.request.identifier)
  if (address === null) return { kind: 'continue', reason_code: 'no_address' }

  // One counter for all of this attachment's sign-ins: an attack must not become one on the service that is asked.
  const { allowed } = await counters.take('lookups', { limit: config.max_lookups_per_minute, window_s: 60 })
  if (!allowed) {
    console.warn('no lookup: there were enough of them this minute')
    return { kind: 'continue', reason_code: 'lookup_skipped' }
  }

  // Only the prefix leaves. A millionth of all addresses share it, in breaches or not: the service cannot tell which of them
  // signs in, nor whether it was in its answer, since the rest of the digest is compared here.
  const hash = await digest(address)
  const count = await breaches(hash.slice(0, PREFIX), hash.slice(PREFIX))

  // A lookup is one more safeguard. Where it fails everybody would be locked out by what protects nobody then.
  if (count === null) return { kind: 'continue', reason_code: 'lookup_failed' }
  if (count < config.threshold) return { kind: 'continue' }
  if (config.on_breached === 'demand_mfa') return { kind: 'demand_mfa', reason_code: 'account_breached' }
  return { kind: 'block', reason_code: 'account_breached', user_message: config.user_message }
}
