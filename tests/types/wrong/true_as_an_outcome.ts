// TS2322: Type 'boolean' is not assignable to type 'Outcome'
export async function execute(input: Input): Promise<Outcome> {
  return true
}
