import type { Checked } from './check'
import { domainOf, matchesDomain, toEntry } from './domain'

/** The fields that say which domains are meant, and which of the user's addresses are looked at. */
export type DomainRules = { domains: string[]; include_subdomains: boolean; match: 'primary' | 'any' | 'all' }

/** An e-mail address of a user. */
export type Mail = { address: string; verified: boolean }

/** The addresses that `match` means: the primary one, or all with the primary one first. */
export function addressesOf(user: User | null, match: DomainRules['match']): Mail[] {
  if (!user) return []
  const primary = user.email?.trim() ?? ''
  const isPrimary = ({ address }: Mail): boolean => address.trim() === primary
  const first = primary && { address: primary, verified: user.email_verified ?? user.emails.find(isPrimary)?.verified ?? false }
  if (match === 'primary') return first ? [first] : []

  const listed = user.emails.filter(({ address }) => address.trim() !== '')
  if (!first) return listed
  const same = listed.find(isPrimary)
  return [first, ...listed.filter((mail) => mail !== same)]
}

/** Whether the addresses, at least one, are in the domains: all of them with `match: all`, else one of them. */
export function inDomains(mails: Mail[], rules: DomainRules): boolean {
  const isIn = ({ address }: Mail): boolean => {
    const domain = domainOf(address)
    return domain !== null && matchesDomain(domain, rules.domains, rules.include_subdomains)
  }
  return rules.match === 'all' ? mails.every(isIn) : mails.some(isIn)
}

/** Checks the domains, and writes each once, as A-labels. */
export function checkDomains<Config extends DomainRules>(config: Config): Checked<Config> {
  const results = config.domains.map(toEntry)
  const errors = results.flatMap(({ mistake }, i) => (mistake ? [{ pointer: `/domains/${i}`, message: mistake }] : []))
  const domains = [...new Set(results.flatMap(({ entry }) => entry ?? []))]
  return { config: errors.length > 0 ? config : { ...config, domains }, errors, warnings: [] }
}
