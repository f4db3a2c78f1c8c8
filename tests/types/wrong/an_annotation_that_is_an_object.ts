// TS2322: is not assignable to type 'string | number | boolean'
export async function execute(input: Input): Promise<Outcome> {
  return { kind: 'continue', annotations: { place: { country: 'CH' } } }
}
