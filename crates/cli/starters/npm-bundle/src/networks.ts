import ipaddr from 'ipaddr.js'

/** Whether an address is in one of the networks. One that is missing or cannot be read is in none. */
export function isInside(ip: string | undefined, networks: string[]): boolean {
  if (ip === undefined || !ipaddr.isValid(ip)) return false
  // `process` makes 203.0.113.7 of ::ffff:203.0.113.7: it is the same machine.
  const address = ipaddr.process(ip)
  return networks.some((network) => {
    // The schema's pattern lets 300.0.0.0/99 through. The others of the list still count.
    if (!ipaddr.isValidCIDR(network)) {
      console.warn(`${network} is no network`)
      return false
    }
    const [base, length] = ipaddr.parseCIDR(network)
    return address.kind() === base.kind() && address.match(base, length)
  })
}
