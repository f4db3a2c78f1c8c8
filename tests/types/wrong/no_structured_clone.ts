// TS2304: Cannot find name 'structuredClone'
export async function execute(input: Input): Promise<Outcome> {
  console.log(structuredClone(input.state))
  return { kind: 'continue' }
}
