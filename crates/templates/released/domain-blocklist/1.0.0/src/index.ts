import type { Checked } from './shared/check'
import { addressesOf, checkDomains, inDomains, type DomainRules, type Mail } from './shared/mail'
import { inScope, type Scope } from './shared/scope'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = DomainRules & Scope & { on_missing_email: 'block' | 'continue'; user_message?: string }

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { config } = input.context
  if (!inScope(input)) return { kind: 'continue' }

  const mails = input.user ? addressesOf(input.user, config.match) : typedAddress(input.request.identifier)
  const blocked = mails.length === 0 ? config.on_missing_email === 'block' : inDomains(mails, config)
  if (!blocked) return { kind: 'continue' }
  return { kind: 'block', reason_code: 'email_domain_blocked', user_message: config.user_message }
}

export function checkConfig(config: Config): Checked<Config> {
  return checkDomains(config)
}

/** What was typed where no account is known, if it is an address. */
function typedAddress(identifier = ''): Mail[] {
  return identifier.includes('@') ? [{ address: identifier, verified: false }] : []
}
