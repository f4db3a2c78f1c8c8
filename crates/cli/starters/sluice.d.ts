// What an Action is given and what it may answer. All of it is global: nothing is imported.
//
//   export async function execute(input: Input): Promise<Outcome> { ... }
//
// `execute` may be synchronous too. `Input<Config>` types the config of the attachment, as the package's schema.json
// describes it.

/** Any JSON value. */
type Json = null | boolean | number | string | Json[] | JsonObject
/** Any JSON object. A key may be absent; one whose value is undefined counts as absent. */
type JsonObject = { [key: string]: Json | undefined }
/** A time as RFC 3339 text in UTC, such as `2026-01-31T12:00:00Z`. `new Date(time)` reads it. */
type Time = string

/**
 * A named point in a sign-in, and what an Action may answer there besides `continue`:
 *
 * | trigger | block | demand_mfa | redirect | claims |
 * | --- | --- | --- | --- | --- |
 * | pre-login, post-identifier, post-credential-validation, post-mfa-challenge | yes | | | |
 * | pre-user-registration, pre-profile-update | yes | | | |
 * | pre-mfa-challenge | yes | yes | | |
 * | post-login | yes | yes | yes | yes |
 * | pre-token-issue, credentials-exchange, token-exchange | yes | | | yes |
 * | pre-password-reset | yes | yes | yes | |
 * | post-user-registration, post-change-password, login-failed, post-logout | | | | |
 *
 * The sign-in does not wait for those of the last row: their answers are recorded, and it goes on.
 */
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

/** A kind of second factor. `otp` is a one-time password from an authenticator, `webauthn` a security key or passkey. */
type Factor = 'otp' | 'webauthn' | 'push' | 'email' | 'sms' | 'recovery'

// Input: what an Action is given. What is optional is absent where it is not known, and never null.

/** What an Action is given. Lists and maps are never absent: they are empty where nothing is known. */
type Input<Config = JsonObject> = {
  /** The point in the sign-in. */
  trigger: Trigger
  /** The account; null where it is not known. */
  user: User | null
  /** The request that the auth engine is serving. */
  request: SignInRequest
  /** What earlier Actions of this sign-in left, at most 16 KiB of JSON. Written through the outcome's `state`. */
  state: JsonObject
  /** Where and under what circumstances the Action runs. */
  context: Context<Config>
}

/** The account that signs in. */
type User = {
  /** Its id; never empty. */
  id: string
  /** The primary address. */
  email?: string
  /** Whether the primary address is verified. */
  email_verified?: boolean
  /** All addresses, the primary one among them. */
  emails: { address: string; verified: boolean }[]
  /** A telephone number. */
  phone?: string
  /** The name to sign in with. */
  username?: string
  /** The name to show. */
  name?: string
  /** A BCP 47 tag, such as `de-CH`. */
  locale?: string
  /** Groups that the account is in. */
  groups: { id: string; name: string }[]
  /** Roles that the account has. */
  roles: string[]
  /** Accounts at other identity providers. */
  identities: { provider: string; subject: string; connection_id?: string }[]
  /** Second factors that are enrolled. */
  mfa: { enrolled: Factor[] }
  /** What applications keep about the user; the user cannot change it. */
  app_metadata: JsonObject
  /** What the user may change: no ground for a decision that protects something. */
  user_metadata: JsonObject
  /** When the account was made. */
  created_at?: Time
  /** How often the account signed in, this time included. */
  logins_count?: number
}

/** The request that the auth engine is serving. */
type SignInRequest = {
  /** Its id; the execution's where the auth engine gave none. */
  id: string
  /** When it came; the same as `context.now` where the auth engine did not say. */
  time: Time
  /** The client's address, as the auth engine resolved it. */
  ip?: string
  /** The number of the autonomous system that the address is in, 0 to 4294967295. */
  asn?: number
  /** Where the address is. */
  geo?: {
    /** ISO 3166-1 alpha-2, such as `CH`; empty where only the rest is known. */
    country: string
    /** ISO 3166-2, or a name. */
    region?: string
    /** A name. */
    city?: string
  }
  /** The User-Agent header. */
  user_agent?: string
  /** The host that was asked. */
  hostname?: string
  /** The path that was asked. */
  path?: string
  /** Headers by lower-case name; never `authorization` or `cookie`. */
  headers: { [name: string]: string[] | undefined }
  /** What the user typed to say who they are. */
  identifier?: string
  /** The application that the user signs in to. Its id is empty where it is not known. */
  client: { id: string; name?: string; type?: string; metadata: JsonObject }
  /** The connection by name. */
  connection?: string
  /** The protocol, such as `oidc`. */
  protocol?: string
  /** The OAuth grant type. */
  grant_type?: string
  /** The scopes asked for. */
  scopes: string[]
  /** The audience asked for. */
  audience?: string
  /** Where the client wants the user sent afterwards. */
  redirect_uri?: string
  /** Whether a person is there who can be asked something. */
  interactive: boolean
  /** The device; `known` where the account used it before. */
  device?: { id: string; known: boolean }
}

/** Where and under what circumstances an Action runs. */
type Context<Config = JsonObject> = {
  /** The tenant, by its slug. */
  tenant: { id: string }
  /** The organization that the user signs in to. */
  organization?: { id: string; name?: string }
  /** The sign-in. It is the same in all slots of one sign-in. */
  sign_in_id: string
  /** The call that this run belongs to. */
  execution_id: string
  /** The flow, by its slug, at a revision from 1. */
  flow: { id: string; revision: number }
  /** The slot, by its trigger. */
  slot: Trigger
  /** The attachment, and its place in the slot from 1. */
  attachment: { id: string; position: number }
  /** The Action, at its version. */
  action: { slug: string; version: string }
  /** The attachment's config, with its defaults filled in. */
  config: Config
  /** The risk engine's word; null where there is none. */
  risk: null | {
    /** From 0, safe, to 100, dangerous. */
    score: number
    /** The risk engine's word for it. */
    level?: string
    /** What the score is made of. `weight` is what a signal adds to it. */
    signals: { code: string; weight?: number }[]
    /** When it was assessed. It is handed on as it was sent, so it may be no readable time. */
    assessed_at?: string
  }
  /** The credential that was checked, and how, such as `password`. */
  credential?: { valid: boolean; method: string }
  /** The session of the sign-in. */
  session?: {
    id: string
    /** Authentication methods, by RFC 8176. */
    amr: string[]
    /** Whether this sign-in has satisfied a second factor, when, and by which. */
    mfa?: { satisfied: boolean; at?: Time; factor?: Factor }
  }
  /** The token that is about to be issued; its `type` is `id` or `access`. */
  token?: { type: string; audience: string; claims: JsonObject }
  /** What earlier Actions of this slot demand. */
  pending: {
    mfa?: {
      /** Those that will do; empty: any. */
      factors: Factor[]
      /** In seconds. */
      max_age_s: number
      allow_remember: boolean
      on_unenrolled: OnUnenrolled
      on_non_interactive: OnNonInteractive
    }
    /** `attachment` is the one that asked for it. */
    redirect?: { url: string; mode: RedirectMode; query: Record<string, string>; attachment: string }
  }
  /** What the clock says when the run starts. */
  now: Time
  /** Milliseconds by the clock that this run has left when it starts. */
  deadline_ms: number
  /** Why it runs: `live` for a sign-in, `test` for its author. */
  mode: 'live' | 'test' | 'shadow' | 'replay'
}

// Outcome: what an Action answers. A key that is not here, or a value out of its bounds, is an `invalid_outcome`: it is
// never taken as continue. A key whose value is undefined counts as absent.

/** What happens to a user who has none of the factors; `enroll` lets the user enrol now. */
type OnUnenrolled = 'block' | 'enroll' | 'continue'
/** What happens where no person can be asked. */
type OnNonInteractive = 'block' | 'continue'
/** `landing`: the user stays there, the sign-in is done. `resumable`: the page sends the user back to the sign-in. */
type RedirectMode = 'landing' | 'resumable'

/** What an Action may answer, at most 64 KiB of JSON. Which trigger allows which kind: see `Trigger`. */
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
  /** When trying again makes sense, in whole seconds, 0 to 2592000 (30 days). */
  retry_after_s?: number
}

/** A second factor is demanded. What is left out is settled by the other Actions of the slot, or else by the default. */
interface DemandMfa extends Common {
  kind: 'demand_mfa'
  /** Those that will do; any unless set, or where empty. */
  factors?: Factor[]
  /** How old an earlier check may be, in whole seconds, 0 to 86400 (a day); 0, fresh for this sign-in, unless set. */
  max_age_s?: number
  /** Whether a remembered device will do; not unless set. */
  allow_remember?: boolean
  /** For a user who has none of the factors; `block` unless set. */
  on_unenrolled?: OnUnenrolled
  /** Where no person can be asked; `block` unless set. */
  on_non_interactive?: OnNonInteractive
}

/** The user is sent elsewhere, once a second factor that is demanded is met. */
interface Redirect extends Common {
  kind: 'redirect'
  /** An absolute https URL with an origin that the tenant allows, at most 2048 bytes. */
  url: string
  /** `landing` unless set. */
  mode?: RedirectMode
  /** Parameters to add to the URL, at most 20. They are percent-encoded for you. */
  query?: Record<string, string>
}

/** What every outcome may carry. */
interface Common {
  /** Why, for audit and for machines: 1 to 64 of a-z, 0-9, `_` and `.`. */
  reason_code?: string
  /**
   * A patch of the state's top level; null deletes a key. A key has 1 to 64 characters, a value at most 8 KiB of JSON, the
   * state in all 16 KiB.
   */
  state?: JsonObject
  /** Claims for the tokens of this sign-in, at most 50 and 4 KiB of JSON. */
  claims?: Claim[]
  /** Events to deliver, at most 10. */
  emit?: Emit[]
  /** Notes for audit, at most 50. */
  annotations?: Record<string, string | number | boolean>
}

/** A claim for one token, or for both. */
interface Claim {
  token: 'id' | 'access' | 'both'
  /**
   * At most 128 bytes, without spaces and control characters. Registered and protocol claims (`sub`, `aud`, `scope`, ...)
   * and names that begin with `sluice_` or `urn:sluice:` are refused; a URL of your own is nobody else's name.
   */
  name: string
  value: Json
  /** Where the claim exists: `keep` unless set. `error` makes the run an `invalid_outcome`. */
  if_exists?: 'keep' | 'overwrite' | 'error'
}

/** An event to deliver. The version has to declare the host or the secret, or else the run is `capability_denied`. */
interface Emit {
  /** 1 to 128 bytes. */
  type: string
  /** For slack the body as sent. */
  data: Json
  /** 1 to 128 bytes: two events with one key are one. */
  dedupe_key?: string
  /** `success`, the slot did not block, unless set. */
  on?: 'success' | 'blocked' | 'always'
  /** 1 to 10 places. */
  to: EmitTarget[]
}

/** Where an event goes: a URL, or a secret that holds one. Secrets are named, never held. */
type EmitTarget = ({ url: string; url_secret?: never } | { url?: never; url_secret: string }) & {
  /** `standard`, Standard Webhooks, unless set. */
  format?: 'standard' | 'slack'
  /** The name of the secret that signs. */
  signing_secret?: string
  /** Headers to add. */
  headers?: Record<string, string>
  /** What one attempt may take in milliseconds, 50 to 30000. */
  timeout_ms?: number
  /** Attempts in all, 1 to 10. */
  max_attempts?: number
  /** Deliveries a minute, 1 to 60. */
  max_per_minute?: number
  /** Whether what is over that pace is put together. */
  digest?: boolean
}

// Globals beside those of the language. There is no DOM, no Node.js and no network. The compiler's own library also declares
// `Intl` and `Atomics`, which an Action does not have.

/**
 * Lines for the author, at most 16 KiB a run: shown by `sluice test` and by `sluice execute --logs`. Values of one call stand
 * in one line, with spaces between them; `%s` and the like mean nothing.
 */
interface Console {
  debug(...values: unknown[]): void
  /** The same as `info`. */
  log(...values: unknown[]): void
  info(...values: unknown[]): void
  warn(...values: unknown[]): void
  error(...values: unknown[]): void
}
declare var console: Console

/** Runs a function once the code that runs now has ended or awaits. */
declare function queueMicrotask(callback: () => void): void
/** Base64 of a text whose characters are bytes, U+0000 to U+00FF. Throws a `DOMException` for others. */
declare function btoa(text: string): string
/** What `btoa` made a text of. Throws a `DOMException` where it is not base64. */
declare function atob(base64: string): string

/** What `atob` and `btoa` throw. */
declare class DOMException extends Error {
  constructor(message?: string, name?: string)
  /** The number of old for the name; 0 for a name that has none. */
  readonly code: number
}
