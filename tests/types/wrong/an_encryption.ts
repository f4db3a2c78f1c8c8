// TS2339: Property 'encrypt' does not exist on type 'SubtleCrypto'
export async function execute(input: Input): Promise<Outcome> {
  const key = await crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  console.log(await crypto.subtle.encrypt({ name: 'AES-GCM' }, key, new Uint8Array()))
  return { kind: 'continue' }
}
