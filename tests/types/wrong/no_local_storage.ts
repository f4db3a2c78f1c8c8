// TS2304: Cannot find name 'localStorage'
export async function execute(input: Input): Promise<Outcome> {
  console.log(localStorage.getItem('key'))
  return { kind: 'continue' }
}
