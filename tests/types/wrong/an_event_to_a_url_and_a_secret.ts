// TS2322: Types of property 'url_secret' are incompatible
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue', emit: [{ type: 'signed_in', data: null, to: [{ url: 'https://example.com', url_secret: 'HOOK' }] }] }
}
