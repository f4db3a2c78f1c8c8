// The web's APIs that are there, beside fetch.

export async function execute(input: Input): Promise<Outcome> {
  // Events, and giving up
  const target = new EventTarget()
  const controller = new AbortController()
  target.addEventListener('done', ({ type }) => console.log(type), { once: true, signal: controller.signal })
  target.addEventListener('done', { handleEvent: (event) => event.preventDefault() })
  target.dispatchEvent(new CustomEvent('done', { cancelable: true, detail: { count: 1 } }))
  controller.abort()
  const any = AbortSignal.any([controller.signal, AbortSignal.timeout(100)])
  any.onabort = () => console.log(any.reason)

  // Time
  const id: number = setTimeout((word: string, times: number) => console.log(word.repeat(times)), 5, 'late', 2)
  clearTimeout(id)
  clearInterval(setInterval(() => console.log('again'), 5))
  await new Promise<void>((resolve) => setTimeout(resolve, 1))
  const took: number = performance.now() + performance.timeOrigin

  // URLs
  const url = URL.parse('/a?b=c', 'https://example.com') ?? new URL('https://example.com')
  url.hash = 'top'
  for (const [name, value] of url.searchParams) console.log(name, value, URL.canParse(value))

  // Bytes, and cryptography
  const bytes = new TextEncoder().encode(input.user?.email)
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  const hash: ArrayBuffer = await crypto.subtle.digest('SHA-256', bytes)
  const raw: Uint8Array = crypto.getRandomValues(new Uint8Array(32))
  const key = await crypto.subtle.importKey('raw', raw, { name: 'HMAC', hash: 'SHA-256' }, true, ['sign', 'verify'])
  const signature = await crypto.subtle.sign('HMAC', key, bytes)
  const holds: boolean = await crypto.subtle.verify('HMAC', key, signature, bytes)
  const { k } = await crypto.subtle.exportKey('jwk', key)
  const copy: { at: Date } = structuredClone({ at: new Date() })

  // The rest
  console.table([{ a: 1 }], ['a'])
  console.assert(holds, '%s does not hold', text)
  console.group('inside')
  console.groupEnd()
  reportError(new DOMException('for the log', 'DataError'))
  const same: typeof globalThis = self
  return {
    kind: 'continue',
    state: { id: crypto.randomUUID(), size: hash.byteLength, k, took, at: copy.at.toISOString() },
    annotations: { agent: same.navigator.userAgent },
  }
}
