// TS2673: Constructor of class 'AbortSignal' is private
export async function execute(input: Input): Promise<Outcome> {
  console.log(new AbortSignal())
  return { kind: 'continue' }
}
