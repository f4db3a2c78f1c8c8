// TS2304: Cannot find name 'Blob'
export async function execute(input: Input): Promise<Outcome> {
  await fetch('https://example.com', { method: 'POST', body: new Blob(['text']) })
  return { kind: 'continue' }
}
