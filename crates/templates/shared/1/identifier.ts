import { toDomain } from './domain'

/** The most bytes of a counter's key, less what stands before what it names. */
const MAX_KEY_BYTES = 160
/** The characters that tell identifiers apart. No account has one that is longer, and a hostile one is to cost little. */
const MAX_TYPED = 1000
const ASCII = /^[\x00-\x7f]*$/

/**
 * An identifier in the form that is counted: trimmed, in NFKC, case-folded, and the domain of an address in A-labels. Empty
 * where nothing is left.
 */
export function normaliseIdentifier(typed: string): string {
  const text = typed.trim().slice(0, MAX_TYPED).normalize('NFKC').trim()
  const at = text.lastIndexOf('@')
  // A domain is not folded: faß.de is not fass.de.
  const domain = at < 0 ? null : toDomain(text.slice(at + 1))
  return domain === null ? foldCase(text) : `${foldCase(text.slice(0, at))}@${domain}`
}

/** A part of a counter's key. What is too long for one is its digest. */
export async function keyPart(text: string): Promise<string> {
  if (text.length * 3 <= MAX_KEY_BYTES) return text
  const bytes = new TextEncoder().encode(text)
  if (bytes.length <= MAX_KEY_BYTES) return text
  return `sha-256 ${new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)).toHex()}`
}

/**
 * Full case folding of text in NFKC, by the Unicode Standard 3.13. The language has none: the small letters of the capitals are
 * the same, but for the dotless i, whose capital is that of another letter, and the sigma that ends a word.
 */
function foldCase(text: string): string {
  const small = text.toLowerCase()
  if (ASCII.test(small)) return small
  const fold = (part: string): string => part.toUpperCase().toLowerCase().replaceAll('ς', 'σ')
  return small.split('ı').map(fold).join('ı').normalize('NFKC')
}
