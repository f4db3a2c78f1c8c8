// TS2304: Cannot find name 'FormData'
export async function execute(input: Input): Promise<Outcome> {
  await fetch('https://example.com', { method: 'POST', body: new FormData() })
  return { kind: 'continue' }
}
