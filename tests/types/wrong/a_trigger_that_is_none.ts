// TS2367: types 'Trigger' and '"post-signup"' have no overlap
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.trigger === 'post-signup')
  return { kind: 'continue' }
}
