// TS2304: Cannot find name 'performance'
export async function execute(input: Input): Promise<Outcome> {
  console.log(performance.now())
  return { kind: 'continue' }
}
