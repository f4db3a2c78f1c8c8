// TS2353: 'user' does not exist in type 'ArrayBuffer
export async function execute(input: Input): Promise<Outcome> {
  await fetch('https://example.com', { method: 'POST', body: { user: input.user?.id } })
  return { kind: 'continue' }
}
