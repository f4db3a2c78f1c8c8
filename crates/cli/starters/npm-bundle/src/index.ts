import { isInside } from './networks'

/** What schema.json describes. */
type Config = { networks: string[] }

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { networks } = input.context.config
  if (isInside(input.request.ip, networks)) return { kind: 'continue', reason_code: 'company_network' }
  return { kind: 'demand_mfa', reason_code: 'outside_company_network' }
}
