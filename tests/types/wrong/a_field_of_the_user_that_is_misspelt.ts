// TS2551: Did you mean 'groups'?
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.user?.group)
  return { kind: 'continue' }
}
