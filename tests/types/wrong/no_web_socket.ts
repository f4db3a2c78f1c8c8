// TS2304: Cannot find name 'WebSocket'
export async function execute(input: Input): Promise<Outcome> {
  console.log(new WebSocket('wss://example.com'))
  return { kind: 'continue' }
}
