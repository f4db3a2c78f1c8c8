// TS7017: type 'typeof globalThis' has no index signature
export async function execute(input: Input): Promise<Outcome> {
  self.addEventListener('error', () => console.log('lost'))
  return { kind: 'continue' }
}
