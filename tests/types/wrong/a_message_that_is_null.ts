// TS2322: Type 'null' is not assignable
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'block', user_message: null }
}
