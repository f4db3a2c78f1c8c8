// Requests in all their forms, and what can be done with an answer.

export async function execute(input: Input): Promise<Outcome> {
  const url = new URL('https://api.example.com/v1/users')
  url.searchParams.set('id', input.user?.id ?? '')
  const answers = await Promise.all([
    fetch('https://api.example.com/v1/health'),
    fetch(url, { signal: AbortSignal.timeout(300), cache: 'no-store', redirect: 'error' }),
    fetch(new Request(url, { method: 'POST', headers: new Headers({ accept: 'application/json' }), body: '{}' })),
    fetch(url, { method: 'POST', headers: [['x-a', '1']], body: new URLSearchParams({ grant_type: 'client_credentials' }) }),
    fetch(url, { method: 'PUT', headers: new Map([['x-b', '2']]), body: new TextEncoder().encode('text') }),
  ])

  const [first, second, third] = answers
  const headers: [string, string][] = [...first!.headers]
  const one: Json = await first!.json()
  const two: { id: string } = await second!.json()
  const three = await third!.clone().json<{ roles: string[] }>()
  const bytes: Uint8Array = await third!.bytes()
  if (!answers.every(({ ok, status }) => ok && status < 300)) return { kind: 'block' }

  try {
    await fetch('https://elsewhere.example')
  } catch (error) {
    if (error instanceof DOMException && error.name === 'TimeoutError') console.warn('too slow')
    else if (error instanceof TypeError) console.warn((error.cause as { code?: FetchFailure } | undefined)?.code)
    else if (error instanceof Error && error.name === 'CapabilityDeniedError') throw error
  }
  const made = Response.json({ headers, one, two, three, length: bytes.length }, { status: 201 })
  return { kind: 'continue', state: { answer: await made.json(), redirected: made.redirected } }
}
