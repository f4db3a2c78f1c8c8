// TS2304: Cannot find name 'fetch'
export async function execute(input: Input): Promise<Outcome> {
  await fetch('https://example.com')
  return { kind: 'continue' }
}
