// TS2322: Type '() => number' is not assignable
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue', state: { later: () => 1 } }
}
