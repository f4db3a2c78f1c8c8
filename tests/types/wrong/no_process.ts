// TS2591: Cannot find name 'process'
export async function execute(input: Input): Promise<Outcome> {
  console.log(process.env.HOME)
  return { kind: 'continue' }
}
