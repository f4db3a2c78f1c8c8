import type { Checked } from './shared/check'
import { read, userKeys } from './shared/paths'

/** The first rule that names a group of the user and, where it names clients, the client. */
type Rule = { group: string; url: string; clients: string[] }

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = {
  rules: Rule[]
  match_by: 'id' | 'name'
  mode: RedirectMode
  /** A text, or a path into the input. */
  query: Record<string, string | { path: string }>
  only_first_login: boolean
}

/** The most characters of a parameter: a URL ends up in logs, and has little room. */
const MAX_VALUE_CHARACTERS = 1024

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { user, request, context, state } = input
  const { config, pending } = context
  if (!user || !request.interactive) return { kind: 'continue' }
  if (config.only_first_login && user.logins_count !== 1) return { kind: 'continue' }

  // A resumable redirect comes back: who has been there is not sent again.
  const been = `redirect_by_group.${context.attachment.id}`.slice(0, 64)
  if (config.mode === 'resumable' && state[been] === true) return { kind: 'continue' }

  const groups = new Set(user.groups.map((group) => group[config.match_by]))
  const rule = config.rules.find(({ group, clients }) => groups.has(group) && isFor(clients, request.client.id))
  if (!rule) return { kind: 'continue' }

  // The first redirect of a slot wins: a later one has sent nobody anywhere.
  const sent = config.mode === 'resumable' && !pending.redirect
  return {
    kind: 'redirect',
    url: rule.url,
    mode: config.mode,
    query: queryOf(input),
    state: sent ? { [been]: true } : undefined,
  }
}

export function checkConfig(config: Config): Checked<Config> {
  const errors = Object.entries(config.query).flatMap(([name, value]) => {
    if (typeof value === 'string' || userKeys(value.path)) return []
    const message = 'a path begins with user., state., context.organization. or request.client.'
    return [{ pointer: `/query/${name.replaceAll('~', '~0').replaceAll('/', '~1')}/path`, message }]
  })
  return { config, errors, warnings: [] }
}

function isFor(clients: string[], client: string): boolean {
  return clients.length === 0 || clients.includes(client)
}

/** The parameters whose values are known. They are percent-encoded where they are added to the URL. */
function queryOf(input: Input<Config>): Record<string, string> {
  const entries: [string, string][] = []
  for (const [name, source] of Object.entries(input.context.config.query)) {
    const value = typeof source === 'string' ? source : textAt(input, source.path)
    if (value !== undefined) entries.push([name, value])
  }
  return Object.fromEntries(entries)
}

/** A text, a number or a boolean as text. What is none of them, or too long, has no place in a URL. */
function textAt(input: Input<Config>, path: string): string | undefined {
  const keys = userKeys(path)
  const value = keys ? read(input, keys) : undefined
  if (value === undefined || value === null || typeof value === 'object') return undefined
  const text = String(value)
  return text.length > MAX_VALUE_CHARACTERS ? undefined : text
}
