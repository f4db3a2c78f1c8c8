import { domainOf } from './domain'

export async function execute(input: Input): Promise<Outcome> {
  const { domains, user_message } = input.context.config as { domains: string[]; user_message: string }
  const domain = domainOf(input.user?.email)
  if (domain !== null && domains.includes(domain)) {
    console.log(`${domain} is allowed`)
    return { kind: 'continue', state: { company_domain: domain } }
  }
  return { kind: 'block', reason_code: 'email_domain_not_allowed', user_message }
}
