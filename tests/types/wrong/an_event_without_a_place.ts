// TS2741: Property 'to' is missing
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue', emit: [{ type: 'signed_in', data: null }] }
}
