const SERVICE = 'https://breaches.example.com'
const TIMEOUT_MS = 600

/**
 * In how many breaches an address is; null where nobody knows.
 *
 * `GET /range/{prefix}` answers with all digests that begin with the prefix: lines of the rest and how often it was found, as
 * `0018A45C4D1DEF81644B54AB7F969B88D65:3`. Some services pad the answer with lines that count 0, so that its size says
 * nothing either.
 */
export async function breaches(prefix: string, suffix: string): Promise<number | null> {
  let response: Response
  try {
    response = await fetch(`${SERVICE}/range/${prefix}`, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: 'error' })
  } catch (error) {
    // The service that does not answer in time, or at all. A host that is not declared is a mistake, and is to be seen.
    const isLate = error instanceof DOMException && error.name === 'TimeoutError'
    if (!isLate && !(error instanceof TypeError)) throw error
    console.warn(`the lookup failed: ${error.message}`)
    return null
  }
  if (!response.ok) {
    console.warn(`the lookup failed: the service answers with the status ${response.status}`)
    return null
  }
  return countOf(suffix, await response.text())
}

/** What the lines say of a digest; 0 where they do not have it. */
function countOf(suffix: string, lines: string): number {
  for (const line of lines.split('\n')) {
    const [rest = '', count = ''] = line.trim().split(':')
    if (rest.toUpperCase() === suffix && /^\d{1,9}$/.test(count)) return Number(count)
  }
  return 0
}
