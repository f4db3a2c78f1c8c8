// `execute` may be asynchronous or not, a function or an arrow, with a config or without.

type Config = { domains: string[]; message?: string }

export async function execute(input: Input<Config>): Promise<Outcome> {
  await null
  return input.context.config.domains.length > 0 ? { kind: 'continue' } : refuse(input.context.config.message)
}

export function synchronous(input: Input): Outcome {
  return input.user === null ? { kind: 'block' } : { kind: 'continue' }
}

export const arrow = async ({ user, context: { config } }: Input<{ groups: string[] }>): Promise<Outcome> =>
  user?.groups.some(({ id }) => config.groups.includes(id)) ? { kind: 'continue' } : { kind: 'demand_mfa' }

/** A helper says which kind it makes. A key whose value is undefined counts as absent. */
function refuse(user_message: string | undefined): Block {
  return { kind: 'block', reason_code: 'not_allowed', user_message }
}

/** Without a type for the config its values are looked at first. */
export function untyped(input: Input): Outcome {
  const { domains } = input.context.config
  return Array.isArray(domains) && domains.includes('example.com') ? { kind: 'continue' } : { kind: 'block' }
}

/** The compiler knows when all kinds have been seen to. */
export function told(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'continue':
      return 'goes on'
    case 'block':
      return outcome.user_message ?? 'ends'
    case 'demand_mfa':
      return outcome.factors?.join(' or ') ?? 'any factor'
    case 'redirect':
      return outcome.url
  }
}
