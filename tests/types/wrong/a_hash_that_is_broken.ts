// TS2345: Argument of type '"MD5"' is not assignable to parameter of type 'HashAlgorithm'
export async function execute(input: Input): Promise<Outcome> {
  console.log(await crypto.subtle.digest('MD5', new Uint8Array()))
  return { kind: 'continue' }
}
