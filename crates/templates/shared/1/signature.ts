// Signatures by Standard Webhooks 1.0.0.

const PREFIX = 'whsec_'
/** The fewest bytes of a key. */
const MIN_KEY_BYTES = 24

/** The signature of a message: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. */
export async function sign(secret: string, id: string, timestampS: number, body: string): Promise<string> {
  const key = await crypto.subtle.importKey('raw', keyOf(secret), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  const message = new TextEncoder().encode(`${id}.${timestampS}.${body}`)
  return `v1,${new Uint8Array(await crypto.subtle.sign('HMAC', key, message)).toBase64()}`
}

/** The key of a secret: the base64 after `whsec_`. What is wrong with it is told without a word of it. */
function keyOf(secret: string): Uint8Array<ArrayBuffer> {
  let key: Uint8Array<ArrayBuffer> | null = null
  try {
    if (secret.startsWith(PREFIX)) key = Uint8Array.fromBase64(secret.slice(PREFIX.length))
  } catch {
    // What is no base64 is no key either.
  }
  if (!key || key.length < MIN_KEY_BYTES) {
    throw new Error(`the secret has to be ${PREFIX} and the base64 of at least ${MIN_KEY_BYTES} bytes`)
  }
  return key
}
