// TS18047: 'input.user' is possibly 'null'
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.user.id)
  return { kind: 'continue' }
}
