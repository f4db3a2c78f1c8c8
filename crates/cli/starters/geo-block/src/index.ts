import { objection, type Rules } from './place'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = Rules & {
  on_match: 'block' | 'demand_mfa'
  on_unknown: 'block' | 'demand_mfa' | 'continue'
  exempt_clients: string[]
  user_message: string
}

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { config } = input.context
  if (config.exempt_clients.includes(input.request.client.id)) {
    return { kind: 'continue', reason_code: 'client_exempt' }
  }

  const reason_code = objection(input.request, config)
  if (reason_code === null) return { kind: 'continue' }

  const answer = reason_code === 'place_unknown' ? config.on_unknown : config.on_match
  if (answer === 'continue') return { kind: 'continue', reason_code }

  // Of the three triggers only post-login knows whom to ask for a second factor. At the others the stricter answer stands:
  // a rule that quietly does nothing would be noticed too late.
  if (answer === 'demand_mfa' && input.trigger === 'post-login') return { kind: 'demand_mfa', reason_code }
  return { kind: 'block', reason_code, user_message: config.user_message }
}
