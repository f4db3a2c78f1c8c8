// TS2322: Type 'boolean' is not assignable to type 'number'
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'demand_mfa', max_age_s: true }
}
