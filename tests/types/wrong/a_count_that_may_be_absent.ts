// TS18048: 'input.user.logins_count' is possibly 'undefined'
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.user !== null && input.user.logins_count > 3)
  return { kind: 'continue' }
}
