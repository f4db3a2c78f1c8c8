// Every field of the input, each with its type: what an author can read without a check, and what only with one.

/** A list of all keys of a type. It does not compile where one is missing or is none of the type's. */
type AllKeys<T> = Record<keyof Required<T>, true>

const ofInput: AllKeys<Input> = { trigger: true, user: true, request: true, state: true, context: true }
const ofUser: AllKeys<User> = {
  id: true,
  email: true,
  email_verified: true,
  emails: true,
  phone: true,
  username: true,
  name: true,
  locale: true,
  groups: true,
  roles: true,
  identities: true,
  mfa: true,
  app_metadata: true,
  user_metadata: true,
  created_at: true,
  logins_count: true,
}
const ofRequest: AllKeys<SignInRequest> = {
  id: true,
  time: true,
  ip: true,
  asn: true,
  geo: true,
  user_agent: true,
  hostname: true,
  path: true,
  headers: true,
  identifier: true,
  client: true,
  connection: true,
  protocol: true,
  grant_type: true,
  scopes: true,
  audience: true,
  redirect_uri: true,
  interactive: true,
  device: true,
}
const ofContext: AllKeys<Context> = {
  tenant: true,
  organization: true,
  sign_in_id: true,
  execution_id: true,
  flow: true,
  slot: true,
  attachment: true,
  action: true,
  config: true,
  risk: true,
  credential: true,
  session: true,
  token: true,
  pending: true,
  now: true,
  deadline_ms: true,
  mode: true,
}

export async function execute(input: Input): Promise<Outcome> {
  const trigger: Trigger = input.trigger
  const state: JsonObject = input.state
  const user: User | null = input.user
  if (user !== null) {
    const id: string = user.id
    const email: string | undefined = user.email
    const emailVerified: boolean | undefined = user.email_verified
    const verified: string[] = user.emails.filter((email) => email.verified).map((email) => email.address)
    const texts: (string | undefined)[] = [user.phone, user.username, user.name, user.locale]
    const groups: string[] = user.groups.flatMap((group) => [group.id, group.name])
    const roles: string[] = user.roles
    const subjects: string[] = user.identities.map(({ provider, subject }) => `${provider}|${subject}`)
    const connection: string | undefined = user.identities[0]?.connection_id
    const enrolled: Factor[] = user.mfa.enrolled
    const metadata: JsonObject[] = [user.app_metadata, user.user_metadata]
    const age: number = user.created_at === undefined ? 0 : Date.parse(user.created_at)
    const logins: number = user.logins_count ?? 1
    console.log(id, email, emailVerified, verified, texts, groups, roles, subjects, connection, enrolled, metadata)
    console.log(age, logins)
  }

  const request: SignInRequest = input.request
  const received: Date = new Date(request.time)
  const place: string | undefined = request.geo?.city ?? request.geo?.region ?? request.geo?.country
  const asn: number | undefined = request.asn
  const agent: string | undefined = request.headers['user-agent']?.[0] ?? request.user_agent
  const client: string = request.client.name ?? request.client.type ?? request.client.id
  const plan: Json | undefined = request.client.metadata.plan
  const openid: boolean = request.scopes.includes('openid')
  const known: boolean = request.interactive && request.device?.known === true && request.device.id !== ''
  const texts: (string | undefined)[] = [request.id, request.ip, request.hostname, request.path, request.identifier]
  texts.push(request.connection, request.protocol, request.grant_type, request.audience, request.redirect_uri)
  console.log(trigger, state, received, place, asn, agent, client, plan, openid, known, texts)

  const context: Context = input.context
  const ids: string[] = [context.tenant.id, context.sign_in_id, context.execution_id, context.flow.id]
  ids.push(context.attachment.id, context.action.slug, context.action.version)
  const numbers: number[] = [context.flow.revision, context.attachment.position, context.deadline_ms]
  const slot: Trigger = context.slot
  const organization: string | undefined = context.organization?.name ?? context.organization?.id
  const risky: boolean = context.risk !== null && context.risk.score > 80 && context.risk.level !== 'low'
  const weight: number = context.risk?.signals.reduce((sum, signal) => sum + (signal.weight ?? 0), 0) ?? 0
  const codes: string[] = context.risk?.signals.map((signal) => signal.code) ?? []
  const assessed: string | undefined = context.risk?.assessed_at
  const wrong: boolean = context.credential?.valid === false && context.credential.method === 'password'
  const amr: string[] = context.session?.amr ?? []
  const session: string | undefined = context.session?.id
  const satisfied: boolean = context.session?.mfa?.satisfied ?? false
  const factor: Factor | undefined = context.session?.mfa?.factor
  const at: Time | undefined = context.session?.mfa?.at
  const token: string | undefined = context.token && `${context.token.type} for ${context.token.audience}`
  const subject: Json | undefined = context.token?.claims.sub
  const demanded: Factor[] = context.pending.mfa?.factors ?? []
  const { max_age_s, allow_remember, on_unenrolled, on_non_interactive } = context.pending.mfa ?? {}
  const target: string | undefined = context.pending.redirect && context.pending.redirect.query.lang
  const redirect: (string | undefined)[] = [context.pending.redirect?.url, context.pending.redirect?.attachment]
  const mode: RedirectMode | undefined = context.pending.redirect?.mode
  const live: boolean = context.mode === 'live'
  console.log(ids, numbers, slot, organization, risky, weight, codes, assessed, wrong, amr, session, satisfied, factor)
  console.log(at, token, subject, demanded, max_age_s, allow_remember, on_unenrolled, on_non_interactive, target)
  console.log(redirect, mode, live, context.now, context.config, ofInput, ofUser, ofRequest, ofContext)
  return { kind: 'continue' }
}
