// TS2322: Property 'url' is missing
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'redirect', mode: 'landing' }
}
