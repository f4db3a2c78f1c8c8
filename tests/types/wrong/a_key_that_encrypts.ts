// TS2322: Type '"encrypt"' is not assignable to type 'HmacUsage'
export async function execute(input: Input): Promise<Outcome> {
  console.log(await crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, false, ['encrypt']))
  return { kind: 'continue' }
}
