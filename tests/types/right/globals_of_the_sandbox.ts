// The globals that an Action has beside those of the language.

export async function execute(input: Input): Promise<Outcome> {
  console.debug('one')
  console.log('two', 2, { three: 3 }, null, undefined, new Error('four'))
  console.info(input)
  console.warn()
  console.error('five')
  queueMicrotask(() => console.log('later'))

  let decoded = ''
  try {
    decoded = atob(btoa('text'))
  } catch (error) {
    if (error instanceof DOMException) console.warn(error.name, error.message, error.code)
  }

  const { promise, resolve } = Promise.withResolvers<string>()
  resolve(decoded)
  const byDomain = Object.groupBy(input.user?.emails ?? [], (email) => email.address.split('@').at(-1) ?? '')
  return { kind: 'continue', state: { text: await promise, domains: Object.keys(byDomain).toSorted() } }
}
