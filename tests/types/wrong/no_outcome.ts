// TS2355: must return a value
export async function execute(input: Input): Promise<Outcome> {
  console.log(input.trigger)
}
