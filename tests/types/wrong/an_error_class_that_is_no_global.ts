// TS2693: 'CapabilityDeniedError' only refers to a type
export async function execute(input: Input): Promise<Outcome> {
  try {
    secrets.get('API_KEY')
  } catch (error) {
    console.log(error instanceof CapabilityDeniedError)
  }
  return { kind: 'continue' }
}
