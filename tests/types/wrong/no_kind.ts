// TS2322: is missing the following properties from type 'Redirect': kind, url
export async function execute(input: Input): Promise<Outcome> {
  return { reason_code: 'not_an_employee' }
}
