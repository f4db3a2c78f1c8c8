// TS2339: Property 'toUpperCase' does not exist
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.user?.app_metadata.plan?.toUpperCase())
  return { kind: 'continue' }
}
