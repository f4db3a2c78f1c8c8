// TS2551: Did you mean 'domains'?
export async function execute(input: Input<{ domains: string[] }>): Promise<Outcome> {
  console.log(input.context.config.domain)
  return { kind: 'continue' }
}
