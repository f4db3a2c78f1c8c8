/** The number of the shape of what is kept: versions with another one must not find it. */
const SHAPE = 1
/** How long an answer is good for. Who gains or loses an entitlement waits for it this long. */
const TTL_S = 60

/**
 * The answer that is kept under a key, or else a new one. Failures are not kept: the next sign-in asks again.
 *
 * A cache is a help and no need: where it cannot be reached the API is asked each time.
 */
export async function cached<T extends JsonObject>(
  key: string,
  ask: () => Promise<T | { failure: string }>,
): Promise<T | { failure: string }> {
  const kept = await kv.get<T>(key).catch(unreachable)
  if (kept) return kept
  const answer = await ask()
  if (!isFailure(answer)) await kv.set(key, answer, { ttl_s: TTL_S }).catch(unreachable)
  return answer
}

/**
 * A key for an answer to these questions, whatever their length. All attachments of an Action share what it keeps: all that an
 * answer depends on has to be in its key, the config too.
 */
export async function keyOf(...questions: string[]): Promise<string> {
  const text = new TextEncoder().encode(JSON.stringify([SHAPE, ...questions]))
  return btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.digest('SHA-256', text))))
}

function isFailure(answer: JsonObject): answer is { failure: string } {
  return 'failure' in answer
}

function unreachable(error: unknown): null {
  // One that is not declared is a mistake of the package, and throws.
  if (error instanceof Error && error.name === 'CapabilityDeniedError') throw error
  console.warn(`the cache cannot be used: ${error}`)
  return null
}
