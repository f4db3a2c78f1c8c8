// TS2304: Cannot find name 'URL'
export async function execute(input: Input): Promise<Outcome> {
  console.log(new URL('https://example.com'))
  return { kind: 'continue' }
}
