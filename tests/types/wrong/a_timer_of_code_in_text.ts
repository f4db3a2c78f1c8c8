// TS2345: Argument of type 'string' is not assignable to parameter of type
export async function execute(input: Input): Promise<Outcome> {
  setTimeout('console.log(1)', 10)
  return { kind: 'continue' }
}
