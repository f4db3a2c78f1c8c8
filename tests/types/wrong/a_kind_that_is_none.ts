// TS2322: "deny"' is not assignable to type '"block" | "continue" | "demand_mfa" | "redirect"'
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'deny' }
}
