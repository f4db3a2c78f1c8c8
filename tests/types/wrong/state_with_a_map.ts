// TS2322: Type 'Map<string, string>' is not assignable
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue', state: { seen: new Map<string, string>() } }
}
