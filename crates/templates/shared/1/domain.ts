// Domains by UTS #46: non-transitional ToASCII with UseSTD3ASCIIRules and VerifyDnsLength, hyphens not checked. The URL standard's
// "domain to ASCII" is the same with both flags off, so what they ask for is checked here.

/** What most domains are: as `toDomain` gives it already, unless it is too long or has A-labels. */
const PLAIN_DOMAIN = /^(?:[a-z0-9-]{1,63}\.)+[a-z]{2,63}$/
/** Letters, digits and hyphens, in labels of 1 to 63: what STD3 and the DNS leave of a domain in lower case. */
const LDH_DOMAIN = /^[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*$/
/** ASCII that STD3 does not take. A URL would read some of it as the end of its host, and drop tabs and line feeds. */
const NOT_LDH = /[\x00-\x2c\x2f\x3a-\x60\x7b-\x7f]/
/** A last label by which the URL standard takes a host for an IPv4 address. No top-level domain is a number. */
const ENDS_IN_NUMBER = /(?:^|\.)(?:\d+|0x[\da-f]*)$/
/** The most bytes of a domain without its trailing dot, by RFC 1035. */
const MAX_LENGTH = 253
/** The most characters that are converted. Mail knows no domain over 255 bytes, RFC 5321: what is longer is to cost nothing. */
const MAX_TYPED = 1000
/** The full stop, and what UTS #46 maps to it. */
const DOTS = '.\u3002\uff0e\uff61'
/** The characters of entries as `toEntry` writes them, joined by commas. */
const NORMALISED = /^[a-z0-9.*,-]*$/

/** A domain as A-labels in lower case, without a trailing dot. Null for what is no domain, an IP address among it. */
export function toDomain(text: string): string | null {
  if (text.length <= MAX_LENGTH && PLAIN_DOMAIN.test(text) && !text.includes('xn--')) return text
  let domain = text.trim()
  if (domain.length > MAX_TYPED) return null
  if (domain !== '' && DOTS.includes(domain[domain.length - 1])) domain = domain.slice(0, -1)
  domain = domain.toLowerCase()
  // What is a domain in ASCII already has nothing to convert. A-labels are decoded to see whether they are valid.
  if (!LDH_DOMAIN.test(domain) || domain.includes('xn--')) {
    if (domain === '' || NOT_LDH.test(domain)) return null
    domain = URL.parse(`http://${domain}/`)?.hostname ?? ''
    if (!LDH_DOMAIN.test(domain)) return null
  }
  return domain.length > MAX_LENGTH || ENDS_IN_NUMBER.test(domain) ? null : domain
}

/** The domain of an e-mail address: what stands behind the last `@`. Null where there is none, or an address literal. */
export function domainOf(address: string): string | null {
  const at = address.lastIndexOf('@')
  return at < 0 ? null : toDomain(address.slice(at + 1))
}

/**
 * Whether a domain is one of the entries, compared label by label. An entry `*.x.com` is the domains below x.com at any depth;
 * with `subdomains`, x.com is these too.
 */
export function matchesDomain(domain: string, entries: string[], subdomains: boolean): boolean {
  if (isListed(domain, entries, subdomains)) return true
  // Those of a config that was never checked may be as they were typed.
  return !isNormalised(entries) && isListed(domain, entries.map((entry) => toEntry(entry).entry), subdomains)
}

function isListed(domain: string, list: (string | undefined)[], subdomains: boolean): boolean {
  if (list.includes(domain)) return true
  for (let dot = domain.indexOf('.'); dot >= 0; dot = domain.indexOf('.', dot + 1)) {
    if (list.includes(`*${domain.slice(dot)}`)) return true
    if (subdomains && list.includes(domain.slice(dot + 1))) return true
  }
  return false
}

/** Whether entries are as `toEntry` writes them. */
function isNormalised(entries: string[]): boolean {
  const joined = `${entries.join()},`
  return NORMALISED.test(joined) && !joined.includes('.,')
}

/** An entry of a list of domains as it is kept, or what is wrong with it. */
export function toEntry(text: string): { entry: string; mistake?: never } | { entry?: never; mistake: string } {
  const typed = text.trim()
  if (typed === '') return { mistake: 'a domain is missing' }
  if (typed === '*') return { mistake: 'this would be every domain' }
  if (typed.includes('@')) return { mistake: 'a domain alone, without the part before the @' }

  const wildcard = typed.startsWith('*.')
  const name = wildcard ? typed.slice(2) : typed
  const domain = toDomain(name)
  if (domain === null) return { mistake: isAddress(name) ? 'an IP address is no domain' : 'this is no domain' }
  if (!domain.includes('.')) return { mistake: 'a domain of at least two labels, such as example.com' }
  return { entry: wildcard ? `*.${domain}` : domain }
}

/** Whether a text that is no domain looks like an IP address. */
function isAddress(text: string): boolean {
  return /^[\d.]+$/.test(text) || /^\[?[\da-f]*:[\da-f:.]*\]?$/i.test(text) || ENDS_IN_NUMBER.test(text.toLowerCase())
}
