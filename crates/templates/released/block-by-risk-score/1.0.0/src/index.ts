import { scoreOf, type RiskRules } from './shared/risk'
import { inScope, type Scope } from './shared/scope'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = RiskRules & Scope & { threshold: number; on_missing_score: 'block' | 'continue'; user_message?: string }

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { config, risk, now } = input.context
  if (!inScope(input)) return { kind: 'continue' }

  const score = scoreOf(risk, now, config)
  const missing = typeof score !== 'number'
  const blocked = missing ? config.on_missing_score === 'block' : score > config.threshold
  // Audit is to tell a sign-in without a score from one that is safe.
  if (!blocked) return missing ? { kind: 'continue', annotations: { risk_score: score } } : { kind: 'continue' }
  return {
    kind: 'block',
    error: 'risk_denied',
    reason_code: 'risk_score_exceeded',
    user_message: config.user_message,
    annotations: { risk_score: score },
  }
}
