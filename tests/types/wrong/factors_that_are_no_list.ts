// TS2322: Type 'string' is not assignable to type 'Factor[]'
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'demand_mfa', factors: 'otp' }
}
