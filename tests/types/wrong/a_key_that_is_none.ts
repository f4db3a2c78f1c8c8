// TS2353: 'allow' does not exist in type 'Continue'
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue', allow: true }
}
