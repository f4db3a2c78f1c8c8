// TS18048: 'input.user.email' is possibly 'undefined'
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.user?.email.length)
  return { kind: 'continue' }
}
