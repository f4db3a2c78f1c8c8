// TS2339: Property 'blob' does not exist on type 'Response'
export async function execute(input: Input): Promise<Outcome> {
  const response = await fetch('https://example.com')
  console.log(await response.blob())
  return { kind: 'continue' }
}
