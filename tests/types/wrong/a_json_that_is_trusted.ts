// TS2339: Property 'roles' does not exist on type 'string'
export async function execute(input: Input): Promise<Outcome> {
  const answer = await (await fetch('https://example.com')).json()
  if (answer !== null) console.log(answer.roles)
  return { kind: 'continue' }
}
