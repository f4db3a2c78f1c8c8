import { eventKeys, read } from './shared/paths'

/** The most characters that Slack takes in the text of a section. */
export const MAX_TEXT = 3000
/** What stands where nothing is known. */
const MISSING = '-'
const CONTROLS = /[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g
/** What `escape` changes. */
const ESCAPED = /[\x00-\x1f\x7f-\x9f\u2028\u2029&<>]/
const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }

/** Fills `{{dotted.path}}` in, until there is more than Slack takes. What is no path of an event, or has no value, is a hyphen. */
export function fill(template: string, input: Input<unknown>): string {
  let text = ''
  let from = 0
  for (;;) {
    const next = placeholder(template, from)
    if (next === null) return text + template.slice(from)
    text += template.slice(from, next.start) + valueAt(next.path, input)
    from = next.end
    if (text.length > MAX_TEXT) return text
  }
}

/** What stands at a path, as text that Slack shows as it is. */
export function valueAt(path: string, input: Input<unknown>): string {
  const keys = eventKeys(path)
  const value = keys ? read(input, keys) : undefined
  if (value === undefined || value === null) return MISSING
  const text = textOf(value)
  return escape(text.length > MAX_TEXT ? text.slice(0, MAX_TEXT + 1) : text)
}

/** What is wrong with a template; null where nothing is. */
export function mistakeOf(template: string): string | null {
  for (let next = placeholder(template, 0); next !== null; next = placeholder(template, next.end)) {
    if (!eventKeys(next.path)) return `{{${next.path}}} is no field of the input, or holds headers, the config or the token`
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

/** The next placeholder at or behind a place; null where there is none. */
function placeholder(template: string, from: number): { start: number; end: number; path: string } | null {
  const start = template.indexOf('{{', from)
  const close = start < 0 ? -1 : template.indexOf('}}', start)
  return close < 0 ? null : { start, end: close + 2, path: template.slice(start + 2, close).trim() }
}

function textOf(value: Json): string {
  if (typeof value !== 'object' || value === null) return String(value)
  const plain = Array.isArray(value) && value.every((item) => typeof item !== 'object')
  return plain ? value.join(', ') : JSON.stringify(value)
}

/** What Slack asks to be escaped, and no line breaks: nobody's name looks like a line of the message. */
function escape(text: string): string {
  if (!ESCAPED.test(text)) return text
  return text.replace(CONTROLS, ' ').replace(/[&<>]/g, (character) => ENTITIES[character])
}
