// TS2304: Cannot find name 'TextEncoder'
export async function execute(input: Input): Promise<Outcome> {
  console.log(new TextEncoder())
  return { kind: 'continue' }
}
