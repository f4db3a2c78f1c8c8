// The Action of the README.

export async function execute(input: Input): Promise<Outcome> {
  if (input.user?.email?.endsWith('@example.com')) return { kind: 'continue' }
  return { kind: 'block', reason_code: 'not_an_employee', user_message: 'Please use your company address.' }
}
