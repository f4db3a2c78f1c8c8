import type { Checked, Mistake } from './shared/check'
import { eventKeys } from './shared/paths'
import { cut, fill, mistakeOf, valueAt } from './text'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = {
  webhook_url_ref: string
  text: string
  title?: string
  fields: { label: string; path: string }[]
  max_per_minute: number
  digest: boolean
  deliver_on: 'always' | 'success' | 'blocked'
}

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { webhook_url_ref, max_per_minute, digest, deliver_on } = input.context.config
  const text = cut(message(input))
  // Verbatim: Slack makes no links and mentions of what is plain text, such as a user who is named as a URL.
  const data = { text, blocks: [{ type: 'section', text: { type: 'mrkdwn', text, verbatim: true } }] }
  const to: EmitTarget = { url_secret: webhook_url_ref, format: 'slack', max_per_minute, digest }
  return { kind: 'continue', emit: [{ type: `sluice.${input.trigger}`, data, on: deliver_on, to: [to] }] }
}

export function checkConfig(config: Config): Checked<Config> {
  const errors: Mistake[] = []
  for (const field of ['text', 'title'] as const) {
    const message = mistakeOf(config[field] ?? '')
    if (message !== null) errors.push({ pointer: `/${field}`, message })
  }
  config.fields.forEach(({ path }, i) => {
    if (eventKeys(path)) return
    errors.push({ pointer: `/fields/${i}/path`, message: 'this is no field of the input, or holds headers, the config or the token' })
  })
  return { config, errors, warnings: [] }
}

/** The message in Slack's mrkdwn: the title, the text, and a line for each field. */
function message(input: Input<Config>): string {
  const { title, text, fields } = input.context.config
  let lines = title ? `*${fill(title, input)}*\n${fill(text, input)}` : fill(text, input)
  for (const { label, path } of fields) lines += `\n*${label}:* ${valueAt(path, input)}`
  return lines
}
