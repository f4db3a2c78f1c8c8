import type { Mistake } from './shared/check'
import { eventKeys } from './shared/paths'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
export type Config = {
  url: string
  /** Where it is left out, the control plane makes a secret and fills in its name. */
  secret_ref?: string
  include: string[]
  headers: Record<string, string>
  mode: 'async' | 'sync'
  /** Unless set: 15,000 in the mode async, 500 in the mode sync. */
  timeout_ms?: number
  max_attempts: number
  deliver_on: 'always' | 'success' | 'blocked'
}

/** What is wrong with a path to what is not sent. */
export const NO_FIELD = 'this is no field of the input, or holds headers, the config or the token'
/** Bounds of `timeout_ms` by mode. */
const TIMEOUTS_MS = { async: { min: 100, max: 30_000 }, sync: { min: 50, max: 1500 } }
/** Headers of the connection, and those that would carry a credential in clear. */
const WITHHELD_HEADERS = new Set(
  'authorization connection content-length expect host http2-settings keep-alive te trailer transfer-encoding upgrade'.split(' '),
)
/** Headers of Standard Webhooks, and of proxies. */
const WITHHELD_PREFIXES = ['webhook-', 'proxy-']

/** What is wrong with a config, between its fields and with paths and headers. */
export function checkRules(config: Config): Mistake[] {
  const errors: Mistake[] = []
  config.include.forEach((path, i) => {
    if (eventKeys(path)) return
    errors.push({ pointer: `/include/${i}`, message: NO_FIELD })
  })
  errors.push(...checkHeaders(config.headers))

  const { min, max } = TIMEOUTS_MS[config.mode]
  if (config.timeout_ms !== undefined && (config.timeout_ms < min || config.timeout_ms > max)) {
    errors.push({ pointer: '/timeout_ms', message: `in the mode ${config.mode} this is ${min} to ${max}` })
  }
  if (config.mode === 'sync' && config.deliver_on !== 'always') {
    errors.push({ pointer: '/deliver_on', message: 'in the mode sync nobody knows yet how the slot ends: this is always' })
  }
  return errors
}

/** What is wrong with headers alone. */
export function checkHeaders(headers: Record<string, string>): Mistake[] {
  const names = Object.keys(headers)
  if (names.length === 0) return []
  const seen = new Set<string>()
  return names.flatMap((header) => {
    const name = header.toLowerCase()
    const twice = seen.has(name)
    seen.add(name)
    if (!isWithheld(name) && !twice) return []
    const message = twice ? `${name} stands there twice` : `${name} is not a header to set`
    return [{ pointer: `/headers/${header.replaceAll('~', '~0')}`, message }]
  })
}

function isWithheld(name: string): boolean {
  return WITHHELD_HEADERS.has(name) || WITHHELD_PREFIXES.some((prefix) => name.startsWith(prefix))
}
