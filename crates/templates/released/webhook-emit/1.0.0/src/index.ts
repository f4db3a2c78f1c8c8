import { checkRules, type Config } from './rules'
import type { Checked } from './shared/check'
import { read } from './shared/paths'
import { post } from './sync'

/** What one attempt may take unless the config says so. */
const ASYNC_TIMEOUT_MS = 15_000

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { config } = input.context
  // A config that was never checked might send what is to stay here.
  const [mistake] = checkRules(config)
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
  for (const path of paths) {
    const value = read(input, path)
    if (value === undefined) continue
    const keys = path.split('.')
    const last = keys.pop()!
    let parent = data
    for (const key of keys) parent = (parent[key] ??= {}) as JsonObject
    parent[last] = value
  }
  return data
}
