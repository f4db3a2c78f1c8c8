// TS2322: "skip"' is not assignable to type 'OnUnenrolled
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'demand_mfa', on_unenrolled: 'skip' }
}
