// TS18048: 'input.context.organization' is possibly 'undefined'
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.context.organization.id)
  return { kind: 'continue' }
}
