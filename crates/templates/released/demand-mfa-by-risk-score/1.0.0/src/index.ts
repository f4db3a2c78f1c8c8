import { ageMs, scoreOf, type RiskRules } from './shared/risk'
import { inScope, type Scope } from './shared/scope'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = RiskRules &
  Scope & {
    threshold: number
    /** None means any. */
    factors: Factor[]
    max_age_s: number
    allow_remember: boolean
    on_unenrolled: OnUnenrolled
    on_non_interactive: OnNonInteractive
    on_missing_score: 'demand' | 'continue'
    user_message?: string
  }

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { config, risk, now } = input.context
  if (!inScope(input)) return { kind: 'continue' }

  const score = scoreOf(risk, now, config)
  const missing = typeof score !== 'number'
  const risky = missing ? config.on_missing_score === 'demand' : score > config.threshold
  if (!risky || isSatisfied(input)) {
    // Audit is to tell a sign-in without a score from one that is safe.
    return missing ? { kind: 'continue', annotations: { risk_score: score } } : { kind: 'continue' }
  }

  const { factors, max_age_s, allow_remember, on_unenrolled, on_non_interactive, user_message } = config
  return {
    kind: 'demand_mfa',
    reason_code: 'mfa_by_risk',
    factors,
    max_age_s,
    allow_remember,
    on_unenrolled,
    on_non_interactive,
    annotations: user_message ? { risk_score: score, user_message } : { risk_score: score },
  }
}

/** Whether this sign-in has satisfied the demand: by one of the factors, and not too long ago where an age is set. */
function isSatisfied({ context }: Input<Config>): boolean {
  const { factors, max_age_s } = context.config
  const mfa = context.session?.mfa
  if (!mfa?.satisfied) return false
  if (factors.length > 0 && !(mfa.factor && factors.includes(mfa.factor))) return false
  if (max_age_s === 0 || mfa.at === undefined) return true
  const age = ageMs(mfa.at, context.now)
  return age !== null && age <= max_age_s * 1000
}
