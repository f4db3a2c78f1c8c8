// TS2339: Property 'body' does not exist on type 'Response'
export async function execute(input: Input): Promise<Outcome> {
  const response = await fetch('https://example.com')
  console.log(response.body)
  return { kind: 'continue' }
}
