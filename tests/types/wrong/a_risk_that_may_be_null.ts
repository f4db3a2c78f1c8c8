// TS18047: 'input.context.risk' is possibly 'null'
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.context.risk.score)
  return { kind: 'continue' }
}
