import { isEventPath, read } from './shared/paths'

/** The most characters that Slack takes in the text of a section. */
export const MAX_TEXT = 3000
/** What stands where nothing is known. */
const MISSING = '-'
const CONTROLS = /[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g
const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }

/** Fills `{{dotted.path}}` in, until there is more than Slack takes. What is no path of an event, or has no value, is a hyphen. */
export function fill(template: string, input: Input<unknown>): string {
  let text = ''
  let from = 0
  for (const { start, end, path } of placeholders(template)) {
    text += template.slice(from, start) + valueAt(path, input)
    from = end
    if (text.length > MAX_TEXT) return text
  }
  return text + template.slice(from)
}

/** What stands at a path, as text that Slack shows as it is. */
export function valueAt(path: string, input: Input<unknown>): string {
  const value = isEventPath(path) ? read(input, path) : undefined
  return value === undefined || value === null ? MISSING : escape(textOf(value).slice(0, MAX_TEXT + 1))
}

/** What is wrong with a template; null where nothing is. */
export function mistakeOf(template: string): string | null {
  for (const { path } of placeholders(template)) {
    if (!isEventPath(path)) return `{{${path}}} is no field of the input, or holds headers, the config or the token`
  }
  const last = template.lastIndexOf('{{')
  return last >= 0 && template.indexOf('}}', last) < 0 ? 'a {{ is not closed' : null
}

/** What Slack takes of escaped text, cut between characters, with a mark. */
export function cut(text: string): string {
  if (text.length <= MAX_TEXT) return text
  let end = MAX_TEXT - 1
  // Half of a surrogate pair is no character, and half of an entity is none of its own.
  if (/[\ud800-\udbff]/.test(text[end - 1])) end--
  const entity = text.lastIndexOf('&', end - 1)
  if (entity >= 0 && entity > end - 5 && text.indexOf(';', entity) >= end) end = entity
  return `${text.slice(0, end)}…`
}

function* placeholders(template: string): Generator<{ start: number; end: number; path: string }> {
  let start = template.indexOf('{{')
  while (start >= 0) {
    const close = template.indexOf('}}', start)
    if (close < 0) return
    yield { start, end: close + 2, path: template.slice(start + 2, close).trim() }
    start = template.indexOf('{{', close + 2)
  }
}

function textOf(value: Json): string {
  if (typeof value !== 'object' || value === null) return String(value)
  const plain = Array.isArray(value) && value.every((item) => typeof item !== 'object')
  return plain ? value.join(', ') : JSON.stringify(value)
}

/** What Slack asks to be escaped, and no line breaks: nobody's name looks like a line of the message. */
function escape(text: string): string {
  return text.replace(CONTROLS, ' ').replace(/[&<>]/g, (character) => ENTITIES[character])
}
