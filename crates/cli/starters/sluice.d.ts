// What an Action is given and what it may answer. Global: no import is needed.
//
//   export async function execute(input: Input): Promise<Outcome> { ... }
//
// `Input<Config>` types the config of the attachment, as the package's schema.json describes it.

/** Any JSON value. */
type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
/** Any JSON object. */
type JsonObject = { [key: string]: Json }
/** A time as RFC 3339 text, such as `2026-01-31T12:00:00Z`. */
type Time = string

/** A named point in a sign-in. */
type Trigger =
  | 'pre-login'
  | 'post-identifier'
  | 'post-credential-validation'
  | 'pre-mfa-challenge'
  | 'post-mfa-challenge'
  | 'post-login'
  | 'pre-token-issue'
  | 'credentials-exchange'
  | 'token-exchange'
  | 'pre-user-registration'
  | 'pre-profile-update'
  | 'pre-password-reset'
  | 'post-user-registration'
  | 'post-change-password'
  | 'login-failed'
  | 'post-logout'

/** A kind of second factor. */
type Factor = 'otp' | 'webauthn' | 'push' | 'email' | 'sms' | 'recovery'

/** What an Action is given. */
interface Input<Config = JsonObject> {
  trigger: Trigger
  /** The account; null where it is not known. */
  user: User | null
  request: SignInRequest
  /** What earlier Actions of this sign-in left. Written through the outcome's `state`. */
  state: JsonObject
  context: Context<Config>
}

interface User {
  id: string
  /** The primary address. */
  email?: string
  email_verified?: boolean
  /** All addresses, the primary one among them. */
  emails?: { address: string; verified: boolean }[]
  phone?: string
  username?: string
  name?: string
  /** A BCP 47 tag. */
  locale?: string
  groups: { id: string; name: string }[]
  roles: string[]
  identities: { provider: string; subject: string; connection_id?: string }[]
  mfa: { enrolled: Factor[] }
  /** What applications keep about the user; the user cannot change it. */
  app_metadata: JsonObject
  /** What the user may change. */
  user_metadata: JsonObject
  created_at?: Time
  /** The number of logins, with this one. */
  logins_count?: number
}

interface SignInRequest {
  id: string
  time: Time
  /** The client's address, as the auth engine resolved it. */
  ip?: string
  asn?: number
  /** `country` is ISO 3166-1 alpha-2. */
  geo?: { country: string; region?: string; city?: string }
  user_agent?: string
  hostname?: string
  path?: string
  /** By lower-case name; never `authorization` or `cookie`. */
  headers: Record<string, string[]>
  /** What the user typed to say who they are. */
  identifier?: string
  client: { id: string; name?: string; type?: string; metadata?: JsonObject }
  connection?: string
  protocol?: string
  grant_type?: string
  scopes?: string[]
  audience?: string
  redirect_uri?: string
  /** Whether a person is there to answer a prompt. */
  interactive: boolean
  device?: { id: string; known: boolean }
}

interface Context<Config = JsonObject> {
  tenant: { id: string }
  organization?: { id: string; name?: string }
  sign_in_id: string
  execution_id: string
  flow: { id: string; revision: number }
  /** The slot, by its trigger. */
  slot: Trigger
  attachment: { id: string; position: number }
  action: { slug: string; version: string }
  /** The attachment's config, with its defaults filled in. */
  config: Config
  /** The risk engine's word; null where there is none. */
  risk: null | {
    /** From 0, safe, to 100, dangerous. */
    score: number
    level?: string
    signals?: { code: string; weight?: number }[]
    assessed_at?: Time
  }
  credential?: { valid: boolean; method: string }
  session?: { id: string; amr?: string[]; mfa?: { satisfied: boolean; at?: Time; factor?: Factor } }
  /** The token that is about to be issued. */
  token?: { type: string; audience: string; claims: JsonObject }
  /** What earlier Actions of this slot demand. */
  pending: {
    mfa?: {
      /** Empty: any. */
      factors: Factor[]
      max_age_s: number
      allow_remember: boolean
      on_unenrolled: OnUnenrolled
      on_non_interactive: OnNonInteractive
    }
    redirect?: { url: string; mode: RedirectMode; query: Record<string, string>; attachment: string }
  }
  now: Time
  /** Milliseconds that this run has left when it starts. */
  deadline_ms: number
  mode: 'live' | 'test' | 'shadow' | 'replay'
}

type OnUnenrolled = 'block' | 'enroll' | 'continue'
type OnNonInteractive = 'block' | 'continue'
type RedirectMode = 'landing' | 'resumable'

/** What an Action may answer. Which trigger allows which kind is checked by the platform. */
type Outcome = Continue | Block | DemandMfa | Redirect

/** The sign-in goes on. */
interface Continue extends Common {
  kind: 'continue'
}

/** The sign-in ends here. Claims and state are discarded. */
interface Block extends Common {
  kind: 'block'
  /** What the user may read, at most 256 characters. */
  user_message?: string
  /** What the client is told; `access_denied` unless set. */
  error?: 'access_denied' | 'rate_limited' | 'risk_denied'
  /** When trying again makes sense, in seconds. */
  retry_after_s?: number
}

/** A second factor is demanded. What is left out is settled by the other Actions of the slot, or by the default. */
interface DemandMfa extends Common {
  kind: 'demand_mfa'
  /** Those that will do; any unless set. */
  factors?: Factor[]
  /** How old an earlier check may be, in seconds, at most 86400; 0, a fresh one, unless set. */
  max_age_s?: number
  /** Whether a remembered device will do; not unless set. */
  allow_remember?: boolean
  /** For a user who has none of the factors; `block` unless set. */
  on_unenrolled?: OnUnenrolled
  /** Where no person can answer; `block` unless set. */
  on_non_interactive?: OnNonInteractive
}

/** The user is sent elsewhere, once a second factor that is demanded is met. */
interface Redirect extends Common {
  kind: 'redirect'
  /** https, with an origin that the tenant allows. */
  url: string
  /** `landing`, the sign-in is done, unless set; `resumable` comes back. */
  mode?: RedirectMode
  /** Parameters to add to the URL, at most 20. */
  query?: Record<string, string>
}

/** What every outcome may carry. */
interface Common {
  /** Why, for audit and for machines: 1 to 64 of a-z, 0-9, `_` and `.`. */
  reason_code?: string
  /** A patch of the state's top level; null deletes a key. */
  state?: Record<string, Json | null>
  /** Claims for the tokens of this sign-in. */
  claims?: Claim[]
  /** Events to deliver. */
  emit?: Emit[]
  /** Notes for audit. */
  annotations?: Record<string, string | number | boolean>
}

interface Claim {
  token: 'id' | 'access' | 'both'
  /** Not one of the registered and protocol claims, nor `sluice_...`. */
  name: string
  value: Json
  /** Where the claim exists: `keep` unless set. `error` makes the run an invalid outcome. */
  if_exists?: 'keep' | 'overwrite' | 'error'
}

interface Emit {
  type: string
  data: Json
  dedupe_key?: string
  /** `success`, the slot did not block, unless set. */
  on?: 'success' | 'blocked' | 'always'
  to: EmitTarget[]
}

/** Where an event goes: a URL, or a secret that holds one. Secrets are named, never held. */
type EmitTarget = ({ url: string; url_secret?: never } | { url?: never; url_secret: string }) & {
  /** Standard Webhooks unless set. */
  format?: 'standard' | 'slack'
  signing_secret?: string
  headers?: Record<string, string>
  timeout_ms?: number
  max_attempts?: number
  max_per_minute?: number
  digest?: boolean
}

/** Lines for the author: shown by `sluice test` and by `sluice execute --logs`. */
declare const console: Record<'debug' | 'log' | 'info' | 'warn' | 'error', (...values: unknown[]) => void>
