// TS2591: Cannot find name 'Buffer'
export async function execute(input: Input): Promise<Outcome> {
  console.log(Buffer.from('text').toString('hex'))
  return { kind: 'continue' }
}
