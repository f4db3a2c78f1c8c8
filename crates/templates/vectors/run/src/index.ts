import addresses from './addresses.json'
import domains from './domains.json'
import identifiers from './identifiers.json'
import prefixes from './prefixes.json'
import { formatAddress, inCidrs, parseAddress } from './shared/address'
import { toDomain } from './shared/domain'
import { normaliseIdentifier } from './shared/identifier'
import { sign } from './shared/signature'
import signatures from './signatures.json'

type Config = { set: 'addresses' | 'domains' | 'identifiers' | 'prefixes' | 'signatures' }
/** What was asked, what the vector says, and what the module says. */
type Row = { input: Json; expected: Json; got: Json }

const ROWS: Record<Config['set'], () => Row[] | Promise<Row[]>> = {
  addresses: () => addresses.map(({ input, output }) => ({ input, expected: output, got: canonical(input) })),
  domains: () => domains.map(({ input, output }) => ({ input, expected: output, got: toDomain(input) })),
  identifiers: () => identifiers.map(({ input, output }) => ({ input, expected: output, got: normaliseIdentifier(input) })),
  prefixes: () =>
    prefixes.map(({ cidr, address, inside }) => ({ input: [cidr, address], expected: inside, got: isInside(cidr, address) })),
  signatures: () =>
    Promise.all(
      signatures.map(async ({ secret, id, timestamp, body, signature }) => ({
        input: id,
        expected: signature,
        got: await sign(secret, id, timestamp, body),
      })),
    ),
}

export async function execute(input: Input<Config>): Promise<Outcome> {
  const rows = await ROWS[input.context.config.set]()
  const differences = rows.filter(({ expected, got }) => expected !== got)
  return { kind: 'continue', state: { differences }, annotations: { vectors: rows.length } }
}

function canonical(text: string): string | null {
  const address = parseAddress(text)
  return address && formatAddress(address)
}

function isInside(cidr: string, text: string): boolean {
  const address = parseAddress(text)
  return address !== null && inCidrs(address, [cidr])
}
