// Proves that TypeScript's own compiler takes what `sluice init` writes, and that the types of Actions
// (crates/cli/starters/sluice.d.ts) refuse what the platform would refuse.
//
//   node tests/types/check.mjs PACKAGE_DIR...
//
// It checks, in this order:
//   right/*.ts    compile without a mistake
//   wrong/*.ts    have exactly the mistake that their first line names: `// TS2353: words of the message`
//   completions   what an editor offers at a place in an Action
//   examples      what docs/actions.md shows as TypeScript compiles
//   surface       surface.json and the table of globals in docs/actions.md are what the types say (surface.mjs)
//   packages      `tsc --noEmit` in each folder that is given
//
// TypeScript is the one of package.json beside this file, in TYPESCRIPT_DIR/node_modules or in node_modules beside this
// file. Exit 0: all is well. Exit 1: each line says what is not. Exit 2: it could not check.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkSurface } from './surface.mjs'

const HERE = dirname(fileURLToPath(import.meta.url))
const STARTERS = resolve(HERE, '../../crates/cli/starters')
const TYPES = join(STARTERS, 'sluice.d.ts')
const DOCS = resolve(HERE, '../../docs/actions.md')

const typescript = findTypeScript()
const ts = createRequire(import.meta.url)(join(typescript, 'lib/typescript.js'))

/** What every package's editor is told, so that snippets are read as an author's files are. */
const options = readOptions()

let checks = 0
const wrong = []

checkSnippets()
checkCompletions()
checkExamples()
checkSurface(ts, ts.createProgram([TYPES], options), TYPES, check)
process.argv.slice(2).forEach(checkPackage)

wrong.forEach((line) => console.error(`types: ${line}`))
console.log(`types: ${checks - wrong.length} of ${checks} checks passed, with TypeScript ${ts.version}`)
process.exit(wrong.length === 0 ? 0 : 1)

/** One check; `mistake` is null where all is well. */
function check(mistake) {
  checks += 1
  if (mistake !== null) wrong.push(mistake)
}

function cannot(message) {
  console.error(`types: ${message}`)
  process.exit(2)
}

function findTypeScript() {
  const root = process.env.TYPESCRIPT_DIR ? resolve(process.env.TYPESCRIPT_DIR) : HERE
  const found = join(root, 'node_modules/typescript')
  if (!existsSync(join(found, 'package.json'))) {
    cannot(`there is no TypeScript in ${root}: run npm ci with the package.json beside check.mjs there`)
  }
  const { version } = readJson(join(found, 'package.json'))
  const { typescript: pinned } = readJson(join(HERE, 'package.json')).devDependencies
  // Another version words its messages otherwise: the mistakes would be of no help.
  if (version !== pinned) cannot(`TypeScript ${version} is in ${root}; package.json asks for ${pinned}`)
  return found
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'))
}

function readOptions() {
  const file = join(STARTERS, 'tsconfig.json')
  const { config, error } = ts.readConfigFile(file, ts.sys.readFile)
  const parsed = ts.convertCompilerOptionsFromJson(config?.compilerOptions ?? {}, STARTERS)
  const mistakes = [error, ...parsed.errors].filter((mistake) => mistake !== undefined)
  if (mistakes.length > 0) cannot(`${file}: ${mistakes.map(message).join('; ')}`)
  return parsed.options
}

/** What a diagnostic says, in one line. */
function message(diagnostic) {
  return ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ').replace(/\s+/g, ' ')
}

/** Where a diagnostic is and what it says. */
function told(diagnostic) {
  const { file, start } = diagnostic
  const { line } = file ? file.getLineAndCharacterOfPosition(start) : { line: 0 }
  return `${file ? `${basename(file.fileName)}:${line + 1}: ` : ''}TS${diagnostic.code}: ${message(diagnostic)}`
}

function snippetsOf(folder) {
  return readdirSync(join(HERE, folder))
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => join(HERE, folder, name))
}

/** All snippets are one program: the library and the types are read once. */
function checkSnippets() {
  const [right, refused] = [snippetsOf('right'), snippetsOf('wrong')]
  if (right.length === 0 || refused.length === 0) cannot('there are no snippets beside check.mjs')
  const program = ts.createProgram([TYPES, ...right, ...refused], options)
  const outside = [...program.getOptionsDiagnostics(), ...program.getGlobalDiagnostics(), ...of(program, TYPES)]
  check(outside.length === 0 ? null : `sluice.d.ts and tsconfig.json: ${outside.map(told).join('; ')}`)
  for (const file of right) {
    const found = of(program, file)
    check(found.length === 0 ? null : `right/${basename(file)} does not compile: ${found.map(told).join('; ')}`)
  }
  for (const file of refused) check(mistakeOfRefused(program, file))
}

function of(program, file) {
  const source = program.getSourceFile(file)
  // Names of a file that is no module are global: one snippet would change another.
  if (file !== TYPES && !ts.isExternalModule(source)) cannot(`${file} exports nothing`)
  return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
}

/** What is wrong with a snippet that must not compile; null where it is refused as its first line says. */
function mistakeOfRefused(program, file) {
  const name = `wrong/${basename(file)}`
  const [first] = readFileSync(file, 'utf8').split('\n')
  const expected = /^\/\/ TS(\d+): (\S.*)$/.exec(first)
  if (expected === null) return `${name}: the first line takes the form "// TS2353: words of the message"`
  const found = of(program, file)
  if (found.length === 0) return `${name} compiles, and must not: ${first.slice(3)}`
  const [, code, words] = expected
  if (found.length === 1 && found[0].code === Number(code) && message(found[0]).includes(words)) return null
  return `${name}: expected ${first.slice(3)}; got ${found.map(told).join('; ')}`
}

/** What an editor offers where `|` stands: these names and no others, in any order. */
function checkCompletions() {
  const user = `id email email_verified emails phone username name locale groups roles identities mfa app_metadata
    user_metadata created_at logins_count`
  const request = `id time ip asn geo user_agent hostname path headers identifier client connection protocol grant_type
    scopes audience redirect_uri interactive device`
  const context = `tenant organization sign_in_id execution_id flow slot attachment action config risk credential session
    token pending now deadline_ms mode`
  const triggers = `pre-login post-identifier post-credential-validation pre-mfa-challenge post-mfa-challenge post-login
    pre-token-issue credentials-exchange token-exchange pre-user-registration pre-profile-update pre-password-reset
    post-user-registration post-change-password login-failed post-logout`
  const ofBlock = 'user_message error retry_after_s'
  const ofDemand = 'factors max_age_s allow_remember on_unenrolled on_non_interactive'
  const ofRedirect = 'url mode query'
  const common = 'reason_code state claims emit annotations'
  const cases = [
    ['input.|', 'trigger user request state context'],
    ['input.user.|', user],
    ['input.user?.|', user],
    ['input.user!.|', user],
    ['input.user!.groups[0].|', 'id name'],
    ['input.user!.mfa.|', 'enrolled'],
    ['input.request.|', request],
    ['input.request.geo!.|', 'country region city'],
    ['input.request.client.|', 'id name type metadata'],
    ['input.request.device!.|', 'id known'],
    ['input.context.|', context],
    ['input.context.config.|', 'domains'],
    ['input.context.risk!.|', 'score level signals assessed_at'],
    ['input.context.session!.|', 'id amr mfa'],
    ['input.context.token!.|', 'type audience claims'],
    ['input.context.pending.|', 'mfa redirect'],
    ["if (input.trigger === '|') {}", triggers],
    ["if (input.context.mode === '|') {}", 'live test shadow replay'],
    ["return { kind: '|' }", 'continue block demand_mfa redirect'],
    ['return { | }', `kind ${ofBlock} ${ofDemand} ${ofRedirect} ${common}`],
    ["return { kind: 'continue', | }", common],
    ["return { kind: 'block', | }", `${ofBlock} ${common}`],
    ["return { kind: 'demand_mfa', | }", `${ofDemand} ${common}`],
    ["return { kind: 'redirect', | }", `${ofRedirect} ${common}`],
    ["return { kind: 'block', error: '|' }", 'access_denied rate_limited risk_denied'],
    ["return { kind: 'demand_mfa', factors: ['|'] }", 'otp webauthn push email sms recovery'],
    ["return { kind: 'demand_mfa', on_unenrolled: '|' }", 'block enroll continue'],
    ["return { kind: 'redirect', url: '', mode: '|' }", 'landing resumable'],
    ["return { kind: 'continue', claims: [{ | }] }", 'token name value if_exists'],
    ["return { kind: 'continue', claims: [{ token: '|' }] }", 'id access both'],
    ['console.|', `debug log info warn error assert clear count countReset dir dirxml group groupCollapsed groupEnd table time
      timeEnd timeLog trace`],
    ['secrets.|', 'get'],
    ['counters.|', 'take'],
    ["await counters.take('key', { | })", 'limit window_s algorithm burst block_s scope cost reset'],
    ["await counters.take('key', { limit: 5, window_s: 60, scope: '|' })", 'attachment flow tenant'],
    ["await counters.take('key', { limit: 5, window_s: 60, algorithm: '|' })", 'sliding_window token_bucket'],
    ["(await counters.take('key', { limit: 5, window_s: 60 })).|", 'allowed remaining retry_after_s'],
    ['kv.|', 'get set delete'],
    ["await kv.set('key', 1, { | })", 'ttl_s'],
    ["(await fetch('https://example.com')).|", `status ok statusText headers url redirected type clone bodyUsed arrayBuffer
      bytes json text`],
    ["await fetch('https://example.com', { | })", `method headers body redirect signal cache credentials mode referrer
      referrerPolicy keepalive priority duplex`],
    ['crypto.|', 'subtle getRandomValues randomUUID'],
    ['crypto.subtle.|', 'digest sign verify importKey exportKey generateKey'],
    ['navigator.|', 'userAgent'],
  ]
  const editor = openEditor()
  for (const [line, only] of cases) {
    const offered = editor.completions(line).map((entry) => entry.name)
    const expected = only.split(/\s+/)
    const missing = expected.filter((name) => !offered.includes(name))
    const more = offered.filter((name) => !expected.includes(name))
    const parts = [...missing.map((name) => `${name} is not offered`), ...more.map((name) => `${name} is offered`)]
    check(parts.length === 0 ? null : `completions at ${line}: ${parts.join(', ')}`)
  }
  // A field whose bounds one has to look up elsewhere is half typed.
  const explained = ['input.|', 'input.user!.|', 'input.request.|', 'input.context.|', "return { kind: 'redirect', | }"]
  explained.push('secrets.|', 'counters.|', 'kv.|', "await counters.take('key', { | })")
  for (const line of explained) {
    const bare = editor.completions(line).filter((entry) => !editor.isExplained(line, entry.name))
    check(bare.length === 0 ? null : `completions at ${line}: ${bare.map((e) => e.name).join(', ')} has no comment`)
  }
}

/** Each example of the docs is a file of its own, that is nowhere but here. */
function checkExamples() {
  const docs = readFileSync(DOCS, 'utf8')
  const examples = [...docs.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(({ 1: code, index }) => {
    const line = docs.slice(0, index).split('\n').length + 1
    return [join(HERE, `actions.md-${line}.ts`), code]
  })
  if (examples.length === 0) cannot(`${DOCS} shows no TypeScript`)
  const texts = new Map(examples)
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists, readFile } = host
  host.fileExists = (file) => texts.has(resolve(file)) || fileExists(file)
  host.readFile = (file) => texts.get(resolve(file)) ?? readFile(file)
  host.getSourceFile = (file, ...rest) => {
    const text = texts.get(resolve(file))
    return text === undefined ? getSourceFile(file, ...rest) : ts.createSourceFile(file, text, ...rest)
  }
  const program = ts.createProgram([TYPES, ...texts.keys()], options, host)
  for (const file of texts.keys()) {
    const found = of(program, file)
    check(found.length === 0 ? null : `docs/${basename(file)} does not compile: ${found.map(told).join('; ')}`)
  }
}

/** An editor with one Action open, which has one line that changes. */
function openEditor() {
  const path = join(HERE, 'open.ts')
  let text = ''
  let version = 0
  let position = 0
  const isOpen = (file) => resolve(file) === path
  const service = ts.createLanguageService({
    getScriptFileNames: () => [path, TYPES],
    getScriptVersion: (file) => (isOpen(file) ? String(version) : '0'),
    getScriptSnapshot: (file) => {
      const content = isOpen(file) ? text : ts.sys.readFile(file)
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content)
    },
    getCurrentDirectory: () => HERE,
    getCompilationSettings: () => options,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: (file) => isOpen(file) || ts.sys.fileExists(file),
    readFile: (file) => (isOpen(file) ? text : ts.sys.readFile(file)),
  })
  const type = (line) => {
    const start = 'export async function execute(input: Input<{ domains: string[] }>): Promise<Outcome> {\n  '
    position = start.length + line.indexOf('|')
    text = `${start}${line.replace('|', '')}\n}\n`
    version += 1
  }
  return {
    completions(line) {
      type(line)
      // As editors ask: `input.user.` is made `input.user?.` on the way.
      const preferences = { includeCompletionsWithInsertText: true, includeAutomaticOptionalChainCompletions: true }
      return service.getCompletionsAtPosition(path, position, preferences)?.entries ?? []
    },
    isExplained(line, name) {
      type(line)
      const details = service.getCompletionEntryDetails(path, position, name, undefined, undefined, undefined, undefined)
      return (details?.documentation ?? []).length > 0
    },
  }
}

/** `tsc --noEmit` in a package, as its author would run it. */
function checkPackage(folder) {
  const dir = resolve(folder)
  if (!existsSync(dir) || !statSync(dir).isDirectory()) return check(`${folder} is not a folder`)
  if (existsSync(join(dir, 'package.json')) && !existsSync(join(dir, 'node_modules'))) {
    return check(`${folder} has a package.json and no node_modules: run npm install there first`)
  }
  // Named, or a tsconfig.json of a folder above would be taken where the package has none.
  const flags = ['--noEmit', '--pretty', 'false', '--project', '.']
  const ran = spawnSync(process.execPath, [join(typescript, 'bin/tsc'), ...flags], { cwd: dir, encoding: 'utf8' })
  if (ran.status === 0) return check(null)
  const said = ran.error?.message ?? `${ran.stdout}${ran.stderr}`.trim().replaceAll('\n', '; ').slice(0, 4000)
  check(`tsc --noEmit in ${folder}: ${said || `ended with ${ran.status ?? ran.signal}`}`)
}
