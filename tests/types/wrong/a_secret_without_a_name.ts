// TS2554: Expected 1 arguments, but got 0
export async function execute(input: Input): Promise<Outcome> {
  console.log(secrets.get())
  return { kind: 'continue' }
}
