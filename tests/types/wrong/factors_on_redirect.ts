// TS2353: 'factors' does not exist in type 'Redirect'
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'redirect', url: 'https://example.com', factors: ['otp'] }
}
