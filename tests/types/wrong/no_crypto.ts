// TS2304: Cannot find name 'crypto'
export async function execute(input: Input): Promise<Outcome> {
  console.log(crypto.randomUUID())
  return { kind: 'continue' }
}
