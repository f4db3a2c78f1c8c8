// TS2322: Type 'null' is not assignable to type 'Outcome'
export async function execute(input: Input): Promise<Outcome> {
  return null
}
