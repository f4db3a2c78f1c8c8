// TS2339: Property 'session' does not exist
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.session)
  return { kind: 'continue' }
}
