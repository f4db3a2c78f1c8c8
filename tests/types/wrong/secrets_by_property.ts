// TS2339: Property 'API_KEY' does not exist on type 'Secrets'
export async function execute(input: Input): Promise<Outcome> {
  console.log(secrets.API_KEY)
  return { kind: 'continue' }
}
