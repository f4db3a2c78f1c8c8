// TS18047: 'roles' is possibly 'null'
export async function execute(input: Input): Promise<Outcome> {
  const roles = await kv.get<string[]>('roles')
  console.log(roles.length)
  return { kind: 'continue' }
}
