// TS2339: Property 'table' does not exist on type 'Console'
export async function execute(input: Input): Promise<Outcome> {
  console.table(input.state)
  return { kind: 'continue' }
}
