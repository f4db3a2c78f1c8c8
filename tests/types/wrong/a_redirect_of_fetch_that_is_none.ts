// TS2820: Type '"followed"' is not assignable to type
export async function execute(input: Input): Promise<Outcome> {
  await fetch('https://example.com', { redirect: 'followed' })
  return { kind: 'continue' }
}
