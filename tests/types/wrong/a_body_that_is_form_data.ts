// TS2339: Property 'formData' does not exist on type 'Request'
export async function execute(input: Input): Promise<Outcome> {
  console.log(await new Request('https://example.com').formData())
  return { kind: 'continue' }
}
