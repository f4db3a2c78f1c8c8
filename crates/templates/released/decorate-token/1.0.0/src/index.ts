import { MAX_VALUE_BYTES, mistakeOf, type ClaimRule } from './rules'
import type { Checked } from './shared/check'
import { fitsJson, jsonBytes } from './shared/json'
import { read } from './shared/paths'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = { claims: ClaimRule[]; allow_profile_claims: boolean }

/** The most bytes of JSON that the claims of one Action may have. */
const MAX_CLAIMS_BYTES = 4096

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { claims: rules, allow_profile_claims } = input.context.config
  const claims: Claim[] = []
  for (const rule of rules) {
    // A config that was never checked is no reason to leave a claim out in silence.
    const mistake = mistakeOf(rule, allow_profile_claims)
    if (mistake) throw new Error(mistake.message)

    let value = rule.source === 'static' ? rule.value! : present(read(input, rule.path!.split('.')))
    if (value === undefined) {
      if (rule.on_missing === 'omit') continue
      if (rule.on_missing === 'block') return { kind: 'block', reason_code: 'claim_missing', annotations: { claim: rule.name } }
      value = null
    }
    claims.push({ token: rule.token, name: rule.name, value, if_exists: rule.if_exists })
  }
  return { kind: 'continue', claims }
}

export function checkConfig(config: Config): Checked<Config> {
  const errors = config.claims.flatMap((rule, i) => {
    const mistake = mistakeOf(rule, config.allow_profile_claims)
    return mistake ? [{ pointer: `/claims/${i}${mistake.field}`, message: mistake.message }] : []
  })
  if (errors.length === 0 && staticBytes(config.claims) > MAX_CLAIMS_BYTES) {
    errors.push({ pointer: '/claims', message: 'the static claims have more than 4 KiB of JSON' })
  }
  return { config, errors, warnings: [] }
}

/** The bytes of the claims whose values are fixed, each as a member of a JSON object. */
function staticBytes(rules: ClaimRule[]): number {
  return rules.reduce((sum, { name, value }) => (value === undefined ? sum : sum + jsonBytes(name) + 1 + jsonBytes(value)), 0)
}

/** A value from the input; undefined where there is none, and where it is too large for a claim. */
function present(value: Json | undefined): Json | undefined {
  return value === undefined || value === null || !fitsJson(value, MAX_VALUE_BYTES) ? undefined : value
}
