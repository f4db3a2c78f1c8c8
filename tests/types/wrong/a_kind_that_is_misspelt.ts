// TS2820: Did you mean '"demand_mfa"'?
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'demand-mfa' }
}
