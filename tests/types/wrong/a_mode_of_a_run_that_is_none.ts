// TS2367: "production"' have no overlap
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.context.mode === 'production')
  return { kind: 'continue' }
}
