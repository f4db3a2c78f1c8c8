// TS2322: "popup"' is not assignable to type 'RedirectMode
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'redirect', url: 'https://example.com', mode: 'popup' }
}
