// TS2304: Cannot find name 'window'
export async function execute(input: Input): Promise<Outcome> {
  window.setTimeout(() => console.log('late'), 10)
  return { kind: 'continue' }
}
