// IP addresses: text by RFC 4291 and RFC 5952, prefixes by RFC 4632.

/** An address as 16-bit groups: two of IPv4, eight of IPv6. */
export type Address = number[]
/** A prefix: the groups of its address, and how many bits of them count. */
export type Cidr = { groups: Address; bits: number }

/** The most characters that are parsed: an address has 45, and a zone and a port beside it. */
const MAX_TYPED = 256
const PORT = /^\d{1,5}$/
const GROUP = /^[0-9a-fA-F]{1,4}$/
/** Groups before the last two that make an IPv6 address a form of an IPv4 address. */
const MAPPED = [0, 0, 0, 0, 0, 0xffff] // ::ffff:0:0/96, RFC 4291
const NAT64 = [0x64, 0xff9b, 0, 0, 0, 0] // 64:ff9b::/96, RFC 6052

/**
 * The address that a text names, null where it is none. Brackets, port and zone are dropped; mapped and NAT64 addresses are
 * the IPv4 address that they carry.
 */
export function parseAddress(text: string): Address | null {
  const v4 = parseV4(text)
  if (v4 !== null) return v4
  let host = text.trim()
  if (host.length > MAX_TYPED) return null
  if (host.startsWith('[')) {
    const end = host.indexOf(']')
    if (end < 0 || !isPort(host.slice(end + 1))) return null
    host = host.slice(1, end)
  } else {
    // One colon alone is that of an IPv4 address's port.
    const colon = host.indexOf(':')
    if (colon >= 0 && colon === host.lastIndexOf(':')) {
      if (!isPort(host.slice(colon))) return null
      host = host.slice(0, colon)
    }
  }
  return host.includes(':') ? fold(parseV6(withoutZone(host))) : parseV4(host)
}

/** A prefix such as `192.0.2.0/24`; an address alone is all of its bits. Null for what is none. */
export function parseCidr(text: string): Cidr | null {
  const [host, length, ...more] = text.trim().split('/')
  const v6 = host.includes(':')
  const all = v6 ? parseV6(host) : parseV4(host)
  if (!all || more.length > 0 || (length !== undefined && !/^\d{1,3}$/.test(length))) return null
  const bits = length === undefined ? all.length * 16 : Number(length)
  if (bits > all.length * 16) return null
  // Addresses are folded to IPv4, so a prefix of such addresses is too.
  const groups = bits >= 96 ? fold(all)! : all
  return { groups, bits: groups.length < all.length ? bits - 96 : bits }
}

/** Whether an address is in a prefix. */
export function inCidr(address: Address, { groups, bits }: Cidr): boolean {
  if (address.length !== groups.length) return false
  for (let i = 0, left = bits; left > 0; i++, left -= 16) {
    if (((address[i] ^ groups[i]) & mask(left)) !== 0) return false
  }
  return true
}

/** Whether an address is in one of the prefixes. One that is malformed holds no address. */
export function inCidrs(address: Address, cidrs: string[]): boolean {
  return cidrs.length > 0 && cidrs.some((text) => {
    const cidr = parseCidr(text)
    return cidr !== null && inCidr(address, cidr)
  })
}

/** The prefix that an address is counted under, such as `2001:db8::/64`. */
export function prefixOf(address: Address, ipv4Bits: number, ipv6Bits: number): string {
  const bits = address.length === 2 ? ipv4Bits : ipv6Bits
  return `${formatAddress(bits === address.length * 16 ? address : address.map((group, i) => group & mask(bits - 16 * i)))}/${bits}`
}

/** An address as RFC 5952 writes it: lower case, and `::` for the first of the longest runs of two zeros or more. */
export function formatAddress(address: Address): string {
  if (address.length === 2) {
    const high = address[0]
    const low = address[1]
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
  }
  let start = -1
  let length = 1
  for (let i = 0; i < 8; i++) {
    let end = i
    while (end < 8 && address[end] === 0) end++
    if (end - i > length) {
      start = i
      length = end - i
    }
    if (end > i) i = end
  }
  const hex = address.map((group) => group.toString(16))
  if (start < 0) return hex.join(':')
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`
}

/** Of 16 bits those that count, where `left` bits still do. */
function mask(left: number): number {
  return left >= 16 ? 0xffff : left <= 0 ? 0 : (0xffff << (16 - left)) & 0xffff
}

function isPort(text: string): boolean {
  return text === '' || (text[0] === ':' && PORT.test(text.slice(1)) && Number(text.slice(1)) <= 65535)
}

/** An IPv6 address without its zone, by RFC 4007. A zone that is empty makes it no address. */
function withoutZone(text: string): string {
  const percent = text.indexOf('%')
  return percent < 0 || percent === text.length - 1 ? text : text.slice(0, percent)
}

/** Four decimal numbers, none with a leading zero, which some would read as octal. */
function parseV4(text: string): Address | null {
  if (text.length > 15) return null
  const bytes = []
  let byte = -1
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 46 && byte >= 0) {
      bytes.push(byte)
      byte = -1
    } else if (code >= 48 && code <= 57 && byte !== 0) {
      byte = byte < 0 ? code - 48 : byte * 10 + code - 48
      if (byte > 255) return null
    } else {
      return null
    }
  }
  return bytes.length === 3 && byte >= 0 ? [(bytes[0] << 8) | bytes[1], (bytes[2] << 8) | byte] : null
}

/** Eight groups, of which one run of zeros may be `::` and the last two an IPv4 address. */
function parseV6(text: string): Address | null {
  const [left, right, ...more] = text.split('::')
  if (more.length > 0) return null
  const head = parseGroups(left, right === undefined)
  if (right === undefined) return head?.length === 8 ? head : null
  const tail = parseGroups(right, true)
  if (!head || !tail || head.length + tail.length > 7) return null
  return [...head, ...new Array(8 - head.length - tail.length).fill(0), ...tail]
}

function parseGroups(text: string, mayEndInV4: boolean): Address | null {
  if (text === '') return []
  const parts = text.split(':')
  const v4 = mayEndInV4 && parts[parts.length - 1].includes('.') ? parseV4(parts.pop()!) : []
  if (!v4 || !parts.every((part) => GROUP.test(part))) return null
  return [...parts.map((part) => Number.parseInt(part, 16)), ...v4]
}

function fold(address: Address | null): Address | null {
  const begins = (groups: Address): boolean => groups.every((group, i) => group === address![i])
  return address?.length === 8 && (begins(MAPPED) || begins(NAT64)) ? address.slice(6) : address
}
