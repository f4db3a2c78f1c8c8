// TS2532: Object is possibly 'undefined'
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.request.headers['x-forwarded-for'][0])
  return { kind: 'continue' }
}
