// TS2591: Cannot find name 'require'
export async function execute(input: Input): Promise<Outcome> {
  console.log(require('node:fs'))
  return { kind: 'continue' }
}
