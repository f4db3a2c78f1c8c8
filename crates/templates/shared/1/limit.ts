import type { Mistake } from './check'

/** The fields that say how attempts are counted. */
export type LimitRules = {
  limit: number
  window_s: number
  algorithm: 'sliding_window' | 'token_bucket'
  burst?: number
  block_s: number
  count?: 'attempts' | 'failures'
  user_message?: string
}

/** How the two rate limits ask the counter. */
export function takeOptions(rules: LimitRules, cost: 0 | 1): CounterOptions {
  const { algorithm, limit, window_s, block_s } = rules
  const options: CounterOptions = { algorithm, limit, window_s, block_s, cost }
  if (algorithm === 'token_bucket') options.burst = rules.burst ?? limit
  return options
}

/** Whether a credential was checked and is valid. One that nobody told about is a failure: it is the safer guess. */
export function succeeded(input: Input<unknown>): boolean {
  return input.context.credential?.valid === true
}

/** The answer to what is over the limit. A client always learns when to come back. */
export function refuse(reason_code: string, retry_after_s: number, rules: LimitRules): Outcome {
  return {
    kind: 'block',
    error: 'rate_limited',
    reason_code,
    retry_after_s: Math.max(1, retry_after_s),
    user_message: rules.user_message,
  }
}

/** What is wrong between the fields of a rate limit. */
export function checkLimit(rules: LimitRules, trigger: Trigger): Mistake[] {
  const errors: Mistake[] = []
  if (rules.burst !== undefined && rules.algorithm !== 'token_bucket') {
    errors.push({ pointer: '/burst', message: 'a burst is of the token bucket alone' })
  }
  if (rules.count === 'failures' && trigger !== 'post-credential-validation') {
    errors.push({ pointer: '/count', message: 'failures are known at post-credential-validation alone' })
  }
  return errors
}
