/** Which places pass. */
export type Rules = {
  mode: 'allow' | 'deny'
  /** ISO 3166-1 alpha-2, capital letters. */
  countries: string[]
  blocked_asns: number[]
}

/** Why a request may not pass. */
export type Objection = 'network_blocked' | 'country_blocked' | 'place_unknown'

/** What speaks against the place that a request comes from; null where nothing does. */
export function objection({ geo, asn }: SignInRequest, rules: Rules): Objection | null {
  // What is certain comes first: for what is not known the config may say continue.
  if (asn !== undefined && rules.blocked_asns.includes(asn)) return 'network_blocked'

  // The country is empty where only a region or a city is known.
  const country = geo?.country.toUpperCase() ?? ''
  if (country !== '') {
    const listed = rules.countries.includes(country)
    if (listed !== (rules.mode === 'allow')) return 'country_blocked'
  }

  const networkMatters = rules.blocked_asns.length > 0
  return country === '' || (networkMatters && asn === undefined) ? 'place_unknown' : null
}
