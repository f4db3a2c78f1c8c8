// TS2345: is not assignable to parameter of type 'IntegerArray'
export async function execute(input: Input): Promise<Outcome> {
  crypto.getRandomValues(new Float64Array(4))
  return { kind: 'continue' }
}
