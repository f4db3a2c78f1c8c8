// TS2322: Type 'undefined' is not assignable to type 'Json'
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue', state: { list: [undefined] } }
}
