// TS2820: Did you mean '"otp"'?
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'demand_mfa', factors: ['totp'] }
}
