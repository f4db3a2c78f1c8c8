import type { Checked } from './shared/check'
import { addressesOf, checkDomains, inDomains, type DomainRules, type Mail } from './shared/mail'
import { inScope, type Scope } from './shared/scope'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = DomainRules &
  Scope & {
    on_missing_email: 'block' | 'continue'
    /** Unless set: at post-login alone, as elsewhere an address is often not verified yet. */
    require_verified?: boolean
    user_message?: string
  }

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { config } = input.context
  if (!inScope(input)) return { kind: 'continue' }

  const mails = addressesOf(input.user, config.match)
  if (mails.length === 0 && config.on_missing_email === 'continue') return { kind: 'continue' }

  if (isAllowed(mails, config, input.trigger)) return { kind: 'continue' }
  return { kind: 'block', reason_code: 'email_domain_not_allowed', user_message: config.user_message }
}

export function checkConfig(config: Config): Checked<Config> {
  return checkDomains(config)
}

/** Whether the addresses are in the domains. Where they must be verified, one that is not is in none. */
function isAllowed(mails: Mail[], config: Config, trigger: Trigger): boolean {
  const requireVerified = config.require_verified ?? trigger === 'post-login'
  const counted = requireVerified ? mails.filter(({ verified }) => verified) : mails
  if (counted.length === 0 || (config.match === 'all' && counted.length < mails.length)) return false
  return inDomains(counted, config)
}
