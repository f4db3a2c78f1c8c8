// TS2304: Cannot find name 'XMLHttpRequest'
export async function execute(input: Input): Promise<Outcome> {
  console.log(new XMLHttpRequest())
  return { kind: 'continue' }
}
