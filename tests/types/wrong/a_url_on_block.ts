// TS2353: 'url' does not exist in type 'Block'
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'block', url: 'https://example.com/help' }
}
