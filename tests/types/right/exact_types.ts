// The contract once more, written down apart from the types. They are the same, or this does not compile: what is optional
// here is optional there, and nothing is `any`.

/** Whether two types are one and the same, and not only assignable to each other. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/** A type with its parts written out, each form of a union by itself. */
type Flat<T> = T extends unknown ? { [K in keyof T]: T[K] } : never

type AnyObject = { [key: string]: Json | undefined }
type Factors = 'otp' | 'webauthn' | 'push' | 'email' | 'sms' | 'recovery'

export const json: Same<Json, null | boolean | number | string | Json[] | AnyObject> = true
export const time: Same<Time, string> = true
export const factor: Same<Factor, Factors> = true

export const user: Same<
  User,
  {
    id: string
    email?: string
    email_verified?: boolean
    emails: { address: string; verified: boolean }[]
    phone?: string
    username?: string
    name?: string
    locale?: string
    groups: { id: string; name: string }[]
    roles: string[]
    identities: { provider: string; subject: string; connection_id?: string }[]
    mfa: { enrolled: Factors[] }
    app_metadata: AnyObject
    user_metadata: AnyObject
    created_at?: string
    logins_count?: number
  }
> = true

export const request: Same<
  SignInRequest,
  {
    id: string
    time: string
    ip?: string
    asn?: number
    geo?: { country: string; region?: string; city?: string }
    user_agent?: string
    hostname?: string
    path?: string
    headers: { [name: string]: string[] | undefined }
    identifier?: string
    client: { id: string; name?: string; type?: string; metadata: AnyObject }
    connection?: string
    protocol?: string
    grant_type?: string
    scopes: string[]
    audience?: string
    redirect_uri?: string
    interactive: boolean
    device?: { id: string; known: boolean }
  }
> = true

export const context: Same<
  Context<{ own: number }>,
  {
    tenant: { id: string }
    organization?: { id: string; name?: string }
    sign_in_id: string
    execution_id: string
    flow: { id: string; revision: number }
    slot: Trigger
    attachment: { id: string; position: number }
    action: { slug: string; version: string }
    config: { own: number }
    risk: null | {
      score: number
      level?: string
      signals: { code: string; weight?: number }[]
      assessed_at?: string
    }
    credential?: { valid: boolean; method: string }
    session?: { id: string; amr: string[]; mfa?: { satisfied: boolean; at?: string; factor?: Factors } }
    token?: { type: string; audience: string; claims: AnyObject }
    pending: {
      mfa?: {
        factors: Factors[]
        max_age_s: number
        allow_remember: boolean
        on_unenrolled: 'block' | 'enroll' | 'continue'
        on_non_interactive: 'block' | 'continue'
      }
      redirect?: { url: string; mode: 'landing' | 'resumable'; query: Record<string, string>; attachment: string }
    }
    now: string
    deadline_ms: number
    mode: 'live' | 'test' | 'shadow' | 'replay'
  }
> = true

export const input: Same<
  Input<{ own: number }>,
  { trigger: Trigger; user: User | null; request: SignInRequest; state: AnyObject; context: Context<{ own: number }> }
> = true
export const withoutConfig: Same<Input, Input<AnyObject>> = true

type CommonKeys = {
  reason_code?: string
  state?: AnyObject
  claims?: {
    token: 'id' | 'access' | 'both'
    name: string
    value: Json
    if_exists?: 'keep' | 'overwrite' | 'error'
  }[]
  emit?: { type: string; data: Json; dedupe_key?: string; on?: 'success' | 'blocked' | 'always'; to: EmitTarget[] }[]
  annotations?: Record<string, string | number | boolean>
}

export const outcome: Same<
  Flat<Outcome>,
  | Flat<{ kind: 'continue' } & CommonKeys>
  | Flat<
      {
        kind: 'block'
        user_message?: string
        error?: 'access_denied' | 'rate_limited' | 'risk_denied'
        retry_after_s?: number
      } & CommonKeys
    >
  | Flat<
      {
        kind: 'demand_mfa'
        factors?: Factors[]
        max_age_s?: number
        allow_remember?: boolean
        on_unenrolled?: 'block' | 'enroll' | 'continue'
        on_non_interactive?: 'block' | 'continue'
      } & CommonKeys
    >
  | Flat<
      { kind: 'redirect'; url: string; mode?: 'landing' | 'resumable'; query?: Record<string, string> } & CommonKeys
    >
> = true

type TargetKeys = {
  format?: 'standard' | 'slack'
  signing_secret?: string
  headers?: Record<string, string>
  timeout_ms?: number
  max_attempts?: number
  max_per_minute?: number
  digest?: boolean
}

export const target: Same<
  Flat<EmitTarget>,
  | Flat<{ url: string; url_secret?: never } & TargetKeys>
  | Flat<{ url?: never; url_secret: string } & TargetKeys>
> = true
