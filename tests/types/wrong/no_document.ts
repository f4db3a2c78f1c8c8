// TS2584: Cannot find name 'document'
export async function execute(input: Input): Promise<Outcome> {
  console.log(document.title)
  return { kind: 'continue' }
}
