// TS2741: Property 'value' is missing
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue', claims: [{ token: 'id', name: 'https://example.com/plan' }] }
}
