// TS2304: Cannot find name 'WebAssembly'
export async function execute(input: Input): Promise<Outcome> {
  console.log(await WebAssembly.compile(new Uint8Array()))
  return { kind: 'continue' }
}
