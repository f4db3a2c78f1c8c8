// TS2353: 'user_message' does not exist in type 'Continue'
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue', user_message: 'Welcome.' }
}
