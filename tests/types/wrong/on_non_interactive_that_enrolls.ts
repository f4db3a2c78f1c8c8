// TS2322: "enroll"' is not assignable to type 'OnNonInteractive
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'demand_mfa', on_non_interactive: 'enroll' }
}
