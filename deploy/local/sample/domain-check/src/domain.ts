/** The domain of an address in lower case, or null where there is none. */
export function domainOf(email: string | undefined): string | null {
  const at = email?.lastIndexOf('@') ?? -1
  return email === undefined || at < 1 ? null : email.slice(at + 1).toLowerCase()
}
