// TS2353: 'integrity' does not exist in type 'RequestInit'
export async function execute(input: Input): Promise<Outcome> {
  await fetch('https://example.com', { integrity: 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' })
  return { kind: 'continue' }
}
