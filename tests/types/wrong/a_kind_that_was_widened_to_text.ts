// TS2322: Type '{ kind: string; }' is not assignable to type 'Outcome'
export async function execute(input: Input): Promise<Outcome> {
  const outcome = { kind: 'block' }
  return outcome
}
