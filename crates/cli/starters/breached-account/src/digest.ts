/** How many digits of a digest may leave: five hexadecimal ones are a range of a million. */
export const PREFIX = 5

const encoder = new TextEncoder()

/** An address as the service counts it: without spaces around it, in lower case; null where a text is no address. */
export function normalized(text: string | undefined): string | null {
  const address = text?.trim().toLowerCase() ?? ''
  return address.includes('@') ? address : null
}

/**
 * The digest of an address in capital hexadecimal digits. It is SHA-1 because services of this kind keep SHA-1: here it is a
 * name in a list, and nothing rests on its strength.
 */
export async function digest(address: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-1', encoder.encode(address)))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('').toUpperCase()
}
