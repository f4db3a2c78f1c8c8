// TS2304: Cannot find name 'URLPattern'
export async function execute(input: Input): Promise<Outcome> {
  console.log(new URLPattern({ pathname: '/users/:id' }))
  return { kind: 'continue' }
}
