// TS2345: "totp"' is not assignable to parameter of type 'Factor'
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.user?.mfa.enrolled.includes('totp'))
  return { kind: 'continue' }
}
