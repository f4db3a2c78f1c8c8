// TS2353: 'url' does not exist in type 'DemandMfa'
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'demand_mfa', url: 'https://example.com' }
}
