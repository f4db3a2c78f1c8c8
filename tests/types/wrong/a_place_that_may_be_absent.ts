// TS18048: 'input.request.geo' is possibly 'undefined'
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.request.geo.country)
  return { kind: 'continue' }
}
