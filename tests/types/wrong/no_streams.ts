// TS2304: Cannot find name 'ReadableStream'
export async function execute(input: Input): Promise<Outcome> {
  console.log(new ReadableStream())
  return { kind: 'continue' }
}
