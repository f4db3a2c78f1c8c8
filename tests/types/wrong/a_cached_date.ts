// TS2344: Type 'Date' does not satisfy the constraint 'Json'
export async function execute(input: Input): Promise<Outcome> {
  console.log(await kv.get<Date>('key'))
  return { kind: 'continue' }
}
