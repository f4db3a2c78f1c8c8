// TS2366: Function lacks ending return statement
export async function execute(input: Input): Promise<Outcome> {
  if (input.user) return { kind: 'continue' }
}
