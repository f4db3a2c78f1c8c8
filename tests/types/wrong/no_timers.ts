// TS2304: Cannot find name 'setTimeout'
export async function execute(input: Input): Promise<Outcome> {
  setTimeout(() => console.log('late'), 10)
  return { kind: 'continue' }
}
