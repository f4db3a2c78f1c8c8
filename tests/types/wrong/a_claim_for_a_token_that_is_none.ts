// TS2322: "refresh"' is not assignable to type '"id" | "access" | "both"'.
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue', claims: [{ token: 'refresh', name: 'https://example.com/plan', value: 1 }] }
}
