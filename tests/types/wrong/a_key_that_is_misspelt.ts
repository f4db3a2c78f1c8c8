// TS2561: Did you mean to write 'user_message'?
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'block', user_mesage: 'No.' }
}
