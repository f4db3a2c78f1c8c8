/** The fields that say which scores count. */
export type RiskRules = { max_score_age_s: number; ignore_signals: string[] }

/** A score from 0 to 100, or why there is none. */
export type Score = number | 'missing' | 'stale'

type Risk = Context['risk']

/** How far a clock may be ahead of this one. */
const MAX_AHEAD_MS = 60_000
/** A time by RFC 3339. `Date` alone would read much more. */
const TIME = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/

/**
 * The score that counts: without the weights of the ignored signals, and missing where it is out of range, or was assessed at
 * no readable time or in the future; stale where that is too long ago. One without a time is fresh.
 */
export function scoreOf(risk: Risk, now: Time, rules: RiskRules): Score {
  if (risk === null || !(risk.score >= 0 && risk.score <= 100)) return 'missing'
  if (risk.assessed_at !== undefined) {
    const age = ageMs(risk.assessed_at, now)
    if (age === null) return 'missing'
    if (rules.max_score_age_s > 0 && age > rules.max_score_age_s * 1000) return 'stale'
  }
  return rules.ignore_signals.length === 0 ? risk.score : withoutSignals(risk, rules.ignore_signals)
}

/** How long ago a time was; null where it cannot be read, or is more than a minute in the future. */
export function ageMs(time: string, now: Time): number | null {
  const age = TIME.test(time) ? Date.parse(now) - Date.parse(time) : Number.NaN
  return age >= -MAX_AHEAD_MS ? age : null
}

/** The score without the weights of some signals, on the same scale. A signal without a weight changes nothing. */
function withoutSignals(risk: NonNullable<Risk>, ignored: string[]): number {
  let score = risk.score
  for (const { code, weight } of risk.signals) {
    if (weight !== undefined && ignored.includes(code)) score -= weight
  }
  // Weights are decimal and numbers binary: 64.4 - 14.4 is to be 50, and no more.
  return Math.min(100, Math.max(0, Math.round(score * 1e6) / 1e6))
}
