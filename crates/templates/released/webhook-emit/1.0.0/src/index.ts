import { checkHeaders, checkRules, NO_FIELD, type Config } from './rules'
import type { Checked } from './shared/check'
import { eventKeys, read } from './shared/paths'
import { post } from './sync'

/** What one attempt may take unless the config says so. */
const ASYNC_TIMEOUT_MS = 15_000

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { config } = input.context
  // A config that was never checked might send what is to stay here. The paths are checked where they are read.
  const mistake = (config.mode === 'sync' ? checkRules(config) : checkHeaders(config.headers))[0]
  if (mistake) throw new Error(`${mistake.pointer}: ${mistake.message}`)
  const type = `sluice.${input.trigger}`
  const data = select(input, config.include)
  if (config.mode === 'sync') {
    await post(input, { type, timestamp: input.context.now, data })
    return { kind: 'continue' }
  }

  const { url, secret_ref, headers, timeout_ms = ASYNC_TIMEOUT_MS, max_attempts, deliver_on } = config
  const to: EmitTarget = { url, format: 'standard', signing_secret: secret_ref, headers, timeout_ms, max_attempts }
  return { kind: 'continue', emit: [{ type, data, on: deliver_on, to: [to] }] }
}

export function checkConfig(config: Config): Checked<Config> {
  const errors = checkRules(config)
  const headers = Object.fromEntries(Object.entries(config.headers).map(([name, value]) => [name.toLowerCase(), value]))
  const include = [...new Set(config.include)]
  return { config: errors.length > 0 ? config : { ...config, include, headers }, errors, warnings: [] }
}

/** What stands at the paths, in objects as the input has them. What is missing is left out. */
function select(input: Input<Config>, paths: string[]): JsonObject {
  const data: JsonObject = {}
  for (let i = 0; i < paths.length; i++) {
    const path = paths[i]
    const keys = eventKeys(path)
    if (!keys) throw new Error(`${path}: ${NO_FIELD}`)
    const value = read(input, keys)
    if (value === undefined) continue
    let parent = data
    const last = keys.length - 1
    for (let k = 0; k < last; k++) parent = (parent[keys[k]] ??= {}) as JsonObject
    parent[keys[last]] = value
  }
  return data
}
