/** What a user is entitled to. */
export type Entitlements = { entitlements: string[]; plan: string | null }

/** Why that is not known. */
export type Failure = 'timed_out' | 'unreachable' | 'key_refused' | 'failed' | 'unreadable'

/** Where and how the API is asked. */
export type Api = { url: string; key: string; timeout_ms: number }

/** A token has room for some 4 KiB of claims: what would not fit is a failure here, with a word for it. */
const MAX_ENTITLEMENTS = 50
const NAME = /^[\w.:-]{1,64}$/

/** Asks the API. What goes wrong between here and there is an answer too; what is wrong with the package throws. */
export async function ask(api: Api, id: string): Promise<Entitlements | { failure: Failure }> {
  let response: Response
  try {
    response = await fetch(`${api.url.replace(/\/+$/, '')}/users/${encodeURIComponent(id)}/entitlements`, {
      headers: { accept: 'application/json', authorization: `Bearer ${api.key}` },
      signal: AbortSignal.timeout(api.timeout_ms),
      // The key is for this API alone: it goes nowhere else.
      redirect: 'error',
    })
  } catch (error) {
    return { failure: failureOf(error) }
  }

  // Neither the key nor what the API says about it belongs into a log: the status will do.
  if (!response.ok) console.warn(`the API answers with the status ${response.status}`)
  // A user whom the API does not know is entitled to nothing.
  if (response.status === 404) return { entitlements: [], plan: null }
  if (response.status === 401 || response.status === 403) return { failure: 'key_refused' }
  if (!response.ok) return { failure: 'failed' }

  try {
    const entitlements = read(await response.json())
    if (entitlements) return entitlements
    console.warn('the API answers with JSON of another shape')
  } catch {
    console.warn('the API answers with what is no JSON')
  }
  return { failure: 'unreadable' }
}

/** Why there was no answer. A host or a secret that is not declared is no such reason: it is a mistake, and is to be seen. */
function failureOf(error: unknown): Failure {
  if (error instanceof DOMException && error.name === 'TimeoutError') return 'timed_out'
  if (!(error instanceof TypeError)) throw error
  const { code } = (error.cause ?? {}) as { code?: FetchFailure }
  console.warn(`the API cannot be asked: ${error.message} (${code ?? 'no code'})`)
  return code === 'timed_out' ? 'timed_out' : 'unreachable'
}

/** The answer, such as `{ "entitlements": ["reports.read"], "plan": "team" }`; null where it has another shape. */
function read(answer: Json): Entitlements | null {
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) return null
  const { entitlements, plan = null } = answer
  if (plan !== null && (typeof plan !== 'string' || !NAME.test(plan))) return null
  if (!Array.isArray(entitlements) || entitlements.length > MAX_ENTITLEMENTS) return null
  const names = entitlements.filter((name): name is string => typeof name === 'string' && NAME.test(name))
  return names.length === entitlements.length ? { entitlements: names, plan } : null
}
