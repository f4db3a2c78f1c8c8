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

// Globals beside those of the language. Sluice's own first, then the web's, whose names and behaviour they have: what differs is
// said. There is no DOM, no Node.js and no stream. The compiler's own library also declares `Intl` and `Atomics`, which an
// Action does not have.
//
// What is marked with "in `execute` alone" throws a `CapabilityDeniedError` at the top level of a module.

/** The secrets that `action.toml` declares, or that the config names where it says so. In `execute` alone. */
interface Secrets {
  /**
   * The value of a secret. One that is not declared throws a `CapabilityDeniedError`. One that is declared and not set ends the
   * run as `unavailable`.
   */
  get(name: string): string
}
declare var secrets: Secrets

/** Counters that all runs share. `capabilities = ["counters"]` in `action.toml` asks for them. In `execute` alone. */
interface Counters {
  /**
   * Counts one call and answers whether it is within the limit, in one step, whoever else calls at the same time.
   *
   * A key has 1 to 256 bytes; a keyed hash of it is kept, never the key. A run may call counters and kv 100 times in all.
   * Options out of their bounds are a TypeError.
   *
   * ```ts
   * const { allowed, retry_after_s } = await counters.take(`login:${user.id}`, { limit: 5, window_s: 300 })
   * ```
   */
  take(key: string, options: CounterOptions): Promise<CounterAnswer>
}
declare var counters: Counters

/** How a counter counts. The same key with another algorithm or another window begins anew. */
type CounterOptions = TokenBucket | SlidingWindow
/**
 * The count of the previous window, times the part of it that is still in the window, plus the count of this one. Windows begin
 * at multiples of their length since 1970. Calls that are refused count too: who goes on stays out.
 */
interface SlidingWindow extends CounterRule {
  /** How it counts: `sliding_window` unless set. */
  algorithm?: 'sliding_window'
  burst?: never
}
/** A bucket that `limit` tokens a window refill. A call that is refused changes nothing. */
interface TokenBucket extends CounterRule {
  /** How it counts: `sliding_window` unless set. */
  algorithm: 'token_bucket'
  /** The bucket's size, 1 to 1000000; the limit unless set. Of a token bucket alone. */
  burst?: number
}
/** What both take. */
interface CounterRule {
  /** How many a window allows, 1 to 1000000. */
  limit: number
  /** The window in whole seconds, 1 to 2592000 (30 days). */
  window_s: number
  /**
   * How long a refusal holds in whole seconds, 0 to 2592000; 0, no longer than the count is over the limit, unless set.
   * Refusals meanwhile do not make it longer.
   */
  block_s?: number
  /** Who shares the counter: the runs of this attachment, unless set, of this flow, or of the tenant. */
  scope?: 'attachment' | 'flow' | 'tenant'
  /**
   * 1 unless set; 0 asks without counting: whether the count is over the limit, not whether one more fits, which `remaining`
   * says.
   */
  cost?: 0 | 1
  /** Whether the counter is cleared where the call is allowed; never during a block. Not unless set. */
  reset?: boolean
}
/** What a counter answers. */
type CounterAnswer = {
  /** Whether the call is within the limit. */
  allowed: boolean
  /** How many more would be allowed now. */
  remaining: number
  /** After how many whole seconds one more would be allowed, if nobody else calls; 0 where this one was. */
  retry_after_s: number
}

/**
 * A cache that all runs of the Action share, whichever version or attachment they are of; no other Action or tenant sees it.
 * What was kept may be gone at any time, and two runs may write at once: nothing may rest on it. `capabilities = ["kv"]` in
 * `action.toml` asks for it. In `execute` alone.
 *
 * A key has 1 to 256 bytes; a keyed hash of it is kept, never the key. A run may call counters and kv 100 times in all.
 * Arguments out of their bounds are a TypeError.
 */
interface Kv {
  /**
   * What is kept under a key; null where nothing is, or null was kept. `T`, a `type` and no `interface`, is what you say it is:
   * nothing checks it.
   */
  get<T extends Json = Json>(key: string): Promise<T | null>
  /** Keeps a value, at most 8 KiB of JSON, for `ttl_s` whole seconds, 1 to 86400 (a day). */
  set(key: string, value: Json, options: { ttl_s: number }): Promise<void>
  /** Forgets a key. */
  delete(key: string): Promise<void>
}
declare var kv: Kv

/**
 * What is thrown where something may not be used: it is not declared, or not there at the top level. Left uncaught it ends the
 * run as `capability_denied`. There is no global of this name: look at `error.name`.
 */
interface CapabilityDeniedError extends Error {
  name: 'CapabilityDeniedError'
  /** What was denied, such as `kv.get`. */
  capability: string
}
/** What counters and kv reject with where they cannot be reached. There is no global of this name: look at `error.name`. */
interface UnavailableError extends Error {
  name: 'UnavailableError'
}

// HTTP

/**
 * Sends a request and answers once the whole answer is there. In `execute` alone.
 *
 * - Only to hosts that `action.toml` declares in `hosts`, or in `hosts_from_config` by a URL of the config. Any other rejects
 *   with a `CapabilityDeniedError`; a redirect to one is `redirect_refused`.
 * - https, on the ports 443 and 8443, and to public addresses, unless the operator allows more. A URL has at most 8 KiB.
 * - 5 requests a run. A body has at most 64 KiB, the headers 100 and 16 KiB together, each way. 5 redirects are followed; one
 *   to another origin loses `authorization` and `cookie`.
 * - The time counts: it ends with the run's at the latest. `AbortSignal.timeout(ms)` ends it before.
 * - No cookies, no cache, no cross-origin rules: what is sent is what you write, and all of the answer can be read. It is not
 *   compressed, unless you ask for an encoding, and then nothing undoes it.
 * - Headers of the connection (`host`, `content-length`, `transfer-encoding`, `connection`, `proxy-...`, ...) are a TypeError.
 *
 * A status of any kind is an answer: look at `response.ok`. Where there is none it rejects with a TypeError whose `cause.code`
 * is a `FetchFailure`, or with the signal's reason.
 */
declare function fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>

/** Why there is no answer. */
type FetchFailure =
  /** The URL is none that may be asked for: its scheme, its port, a user name in it, its length. */
  | 'url_refused'
  /** The request is none that may be sent: its method, its headers, the size of its body. */
  | 'request_refused'
  /** The name has no address, or none was found in time. */
  | 'name_not_resolved'
  /** The name leads to an address that is not public. */
  | 'address_refused'
  /** No connection could be made. */
  | 'connect_failed'
  /** The server's certificate, or its TLS, is not as it must be. */
  | 'tls_failed'
  /** The server ended the connection before its answer was whole. */
  | 'connection_lost'
  /** What the server sent is no HTTP answer. */
  | 'protocol_error'
  /** The answer's headers are too many or too large. */
  | 'headers_too_large'
  /** The answer's body is too large. */
  | 'body_too_large'
  /** The answer sends elsewhere too often, or where it may not, or though that was to be an error. */
  | 'redirect_refused'
  /** No whole answer came in time. */
  | 'timed_out'
  /** The run ended first. */
  | 'canceled'
  /** Too much is under way, for the tenant or in the whole process. */
  | 'overloaded'

/** Bytes: an ArrayBuffer, a typed array or a DataView. */
type BufferSource = ArrayBuffer | ArrayBufferView
/** What a body is made of. An object is none: `JSON.stringify(object)` is. */
type BodyInit = string | BufferSource | URLSearchParams
/** What headers are made of. */
type HeadersInit = Headers | Iterable<readonly [string, string]> | Record<string, string>

/** How a request is sent. */
interface RequestInit {
  /** `GET` unless set. `CONNECT`, `TRACE` and `TRACK` are a TypeError. */
  method?: string
  headers?: HeadersInit
  /** Not of GET and HEAD. A text or parameters set the header `content-type`, unless the headers have one. */
  body?: BodyInit | null
  /** What becomes of a redirect: `follow` unless set, `error`, or `manual`, which makes it the answer. */
  redirect?: 'follow' | 'error' | 'manual'
  /** Ends the request. */
  signal?: AbortSignal | null
  /** Read, and without effect: there is no cache. */
  cache?: 'default' | 'no-store' | 'reload' | 'no-cache' | 'force-cache' | 'only-if-cached'
  /** Read, and without effect: there are no cookies. */
  credentials?: 'omit' | 'same-origin' | 'include'
  /** Read, and without effect: there are no other origins. */
  mode?: 'same-origin' | 'no-cors' | 'cors'
  /** Read, and without effect: it is not sent. */
  referrer?: string
  /** Read, and without effect. */
  referrerPolicy?: ReferrerPolicy
  /** Read, and without effect. */
  keepalive?: boolean
  /** Read, and without effect. */
  priority?: 'high' | 'low' | 'auto'
  /** Read, and without effect. */
  duplex?: 'half'
}
type ReferrerPolicy =
  | ''
  | 'no-referrer'
  | 'no-referrer-when-downgrade'
  | 'same-origin'
  | 'origin'
  | 'strict-origin'
  | 'origin-when-cross-origin'
  | 'strict-origin-when-cross-origin'
  | 'unsafe-url'

/** What a request and a response have of their body. It is there in whole, and can be taken once. There are no streams. */
interface Body {
  /** Whether it was taken. */
  readonly bodyUsed: boolean
  arrayBuffer(): Promise<ArrayBuffer>
  bytes(): Promise<Uint8Array<ArrayBuffer>>
  /** The parsed JSON; rejects with a SyntaxError where it is none. `T` is what you say it is: nothing checks it. */
  json<T = Json>(): Promise<T>
  /** UTF-8, without a byte order mark. */
  text(): Promise<string>
}

/** A request, for `fetch`. */
interface Request extends Body {}
declare class Request {
  /** The URL must be absolute, without a user and a password. */
  constructor(input: string | URL | Request, init?: RequestInit)
  readonly method: string
  readonly url: string
  readonly headers: Headers
  readonly redirect: 'follow' | 'error' | 'manual'
  readonly signal: AbortSignal
  readonly cache: 'default' | 'no-store' | 'reload' | 'no-cache' | 'force-cache' | 'only-if-cached'
  readonly credentials: 'omit' | 'same-origin' | 'include'
  readonly mode: 'same-origin' | 'no-cors' | 'cors'
  /** Always empty. */
  readonly destination: ''
  readonly referrer: string
  readonly referrerPolicy: ReferrerPolicy
  /** Always empty: one that nothing would check is a TypeError. */
  readonly integrity: ''
  readonly keepalive: boolean
  readonly duplex: 'half'
  /** Always false. */
  readonly isReloadNavigation: boolean
  /** Always false. */
  readonly isHistoryNavigation: boolean
  /** A request with the same body, before that is taken. */
  clone(): Request
}

/** What a response is made with. */
interface ResponseInit {
  headers?: HeadersInit
  /** 200 to 599; 200 unless set. */
  status?: number
  statusText?: string
}

/** What `fetch` answers. */
interface Response extends Body {}
declare class Response {
  constructor(body?: BodyInit | null, init?: ResponseInit)
  static error(): Response
  static json(data: unknown, init?: ResponseInit): Response
  /** 301, 302, 303, 307 or 308; 302 unless set. */
  static redirect(url: string | URL, status?: number): Response
  readonly status: number
  /** Whether the status is one from 200 to 299. */
  readonly ok: boolean
  readonly statusText: string
  /** Those of an answer cannot be changed. */
  readonly headers: Headers
  /** Who answered: the last URL, without its fragment. */
  readonly url: string
  /** Whether that is another than was asked. */
  readonly redirected: boolean
  /** `basic` of an answer, `default` of one that you made. */
  readonly type: 'basic' | 'default' | 'error'
  /** A response with the same body, before that is taken. */
  clone(): Response
}

/** Headers by name, in any case. Iteration is in the order of the lower-case names. */
declare class Headers {
  constructor(init?: HeadersInit)
  append(name: string, value: string): void
  delete(name: string): void
  /** All values of a header, with `, ` between them; null where there is none. */
  get(name: string): string | null
  /** Each `set-cookie`. */
  getSetCookie(): string[]
  has(name: string): boolean
  set(name: string, value: string): void
  entries(): IteratorObject<[string, string], undefined>
  keys(): IteratorObject<string, undefined>
  values(): IteratorObject<string, undefined>
  forEach(callback: (value: string, name: string, parent: Headers) => void, self?: unknown): void
  [Symbol.iterator](): IteratorObject<[string, string], undefined>
}

// URLs

/** A URL, by the web's rules. */
declare class URL {
  /** Throws a TypeError where it is none. */
  constructor(url: string | URL, base?: string | URL)
  static canParse(url: string | URL, base?: string | URL): boolean
  /** Null where it is none. */
  static parse(url: string | URL, base?: string | URL): URL | null
  href: string
  readonly origin: string
  /** With a colon at its end. */
  protocol: string
  username: string
  password: string
  /** With the port, where it is not the scheme's own. */
  host: string
  hostname: string
  port: string
  pathname: string
  /** With a `?` at its beginning, or empty. */
  search: string
  /** What is changed here is changed in the URL. */
  readonly searchParams: URLSearchParams
  /** With a `#` at its beginning, or empty. */
  hash: string
  toJSON(): string
  toString(): string
}

/** Parameters of a query or a form. */
declare class URLSearchParams {
  constructor(init?: string | URLSearchParams | Iterable<readonly [string, string]> | Record<string, string>)
  readonly size: number
  append(name: string, value: string): void
  /** All of a name, or those of them that have this value. */
  delete(name: string, value?: string): void
  /** The first of a name; null where there is none. */
  get(name: string): string | null
  getAll(name: string): string[]
  has(name: string, value?: string): boolean
  /** In place of all others of the name. */
  set(name: string, value: string): void
  /** By name. */
  sort(): void
  /** Percent-encoded, without a `?`. */
  toString(): string
  entries(): IteratorObject<[string, string], undefined>
  keys(): IteratorObject<string, undefined>
  values(): IteratorObject<string, undefined>
  forEach(callback: (value: string, name: string, parent: URLSearchParams) => void, self?: unknown): void
  [Symbol.iterator](): IteratorObject<[string, string], undefined>
}

// Time

/**
 * Calls a function once, after some milliseconds; 0 unless set. It must be a function: code in a string is refused. A run waits
 * for what `execute` awaits and no longer: what is left of its timers then is dropped. In `execute` alone.
 */
declare function setTimeout<A extends unknown[]>(callback: (...values: A) => void, ms?: number, ...values: A): number
/** Calls a function again and again. In `execute` alone. */
declare function setInterval<A extends unknown[]>(callback: (...values: A) => void, ms?: number, ...values: A): number
declare function clearTimeout(id?: number): void
declare function clearInterval(id?: number): void
/** Runs a function once the code that runs now has ended or awaits. */
declare function queueMicrotask(callback: () => void): void

/** The clock of the run. */
declare class Performance extends EventTarget {
  private constructor()
  /** When the run began, in milliseconds since 1970. */
  readonly timeOrigin: number
  /** Milliseconds since the run began, with their fractions; 0 at the top level. */
  now(): number
  toJSON(): { timeOrigin: number }
}
declare var performance: Performance

// Events, and giving up

/** What may be said of an event. */
interface EventInit {
  bubbles?: boolean
  cancelable?: boolean
  composed?: boolean
}

/** An event. There is no tree: it has one target. */
declare class Event {
  constructor(type: string, init?: EventInit)
  static readonly NONE: 0
  static readonly CAPTURING_PHASE: 1
  static readonly AT_TARGET: 2
  static readonly BUBBLING_PHASE: 3
  readonly NONE: 0
  readonly CAPTURING_PHASE: 1
  readonly AT_TARGET: 2
  readonly BUBBLING_PHASE: 3
  readonly type: string
  readonly target: EventTarget | null
  readonly currentTarget: EventTarget | null
  /** @deprecated `target` */
  readonly srcElement: EventTarget | null
  readonly eventPhase: number
  readonly bubbles: boolean
  readonly cancelable: boolean
  readonly composed: boolean
  readonly defaultPrevented: boolean
  /** Whether the platform sent it. */
  readonly isTrusted: boolean
  /** By the clock of `performance.now()`. */
  readonly timeStamp: number
  /** @deprecated `stopPropagation` */
  cancelBubble: boolean
  /** @deprecated `defaultPrevented` */
  returnValue: boolean
  composedPath(): EventTarget[]
  preventDefault(): void
  stopPropagation(): void
  stopImmediatePropagation(): void
  /** @deprecated the constructor */
  initEvent(type: string, bubbles?: boolean, cancelable?: boolean): void
}

/** An event that carries something. */
declare class CustomEvent<T = any> extends Event {
  constructor(type: string, init?: EventInit & { detail?: T })
  /** Null unless set. */
  readonly detail: T
  /** @deprecated the constructor */
  initCustomEvent(type: string, bubbles?: boolean, cancelable?: boolean, detail?: T): void
}

/** Who hears of an event. What a listener throws is logged, and stops nobody. */
type EventListener = ((event: Event) => void) | { handleEvent(event: Event): void }
interface AddEventListenerOptions {
  capture?: boolean
  once?: boolean
  passive?: boolean
  /** Removes the listener. */
  signal?: AbortSignal
}

/** What events are sent to. */
declare class EventTarget {
  constructor()
  addEventListener(type: string, listener: EventListener | null, options?: AddEventListenerOptions | boolean): void
  removeEventListener(type: string, listener: EventListener | null, options?: { capture?: boolean } | boolean): void
  /** Whether nobody prevented what it announces. */
  dispatchEvent(event: Event): boolean
}

/** Says that something is to be given up. */
declare class AbortController {
  constructor()
  readonly signal: AbortSignal
  /** The reason is a `DOMException` named `AbortError` unless set. */
  abort(reason?: unknown): void
}

/** Whether something is to be given up, and why. */
declare class AbortSignal extends EventTarget {
  private constructor()
  /** One that is aborted. */
  static abort(reason?: unknown): AbortSignal
  /**
   * One that is aborted after some milliseconds, with a `DOMException` named `TimeoutError`. A run does not wait for it where
   * nothing else is under way and nobody listens to it. In `execute` alone.
   */
  static timeout(ms: number): AbortSignal
  /** One that is aborted with the first of others. */
  static any(signals: Iterable<AbortSignal>): AbortSignal
  readonly aborted: boolean
  /** Undefined until it is aborted. */
  readonly reason: any
  onabort: ((this: AbortSignal, event: Event) => void) | null
  /** Throws the reason, if there is one. */
  throwIfAborted(): void
}

// Bytes, and cryptography

/** Text as UTF-8. */
declare class TextEncoder {
  constructor()
  readonly encoding: 'utf-8'
  encode(text?: string): Uint8Array<ArrayBuffer>
  /** Writes as many whole characters as there is room for. */
  encodeInto(text: string, destination: Uint8Array): { read: number; written: number }
}

/** Bytes as text. */
declare class TextDecoder {
  /**
   * `utf-8` unless set, `utf-16le`, `utf-16be`, `windows-1252`, or another name of one of them, such as `latin1`. Others are a
   * RangeError.
   */
  constructor(encoding?: string, options?: { fatal?: boolean; ignoreBOM?: boolean })
  readonly encoding: string
  /** Whether bytes that are no text are a TypeError, and not U+FFFD. */
  readonly fatal: boolean
  /** Whether a byte order mark is kept. */
  readonly ignoreBOM: boolean
  /** With `stream` a character that is not whole waits for the next part. */
  decode(bytes?: BufferSource, options?: { stream?: boolean }): string
}

/** Base64 of a text whose characters are bytes, U+0000 to U+00FF. Throws a `DOMException` for others. */
declare function btoa(text: string): string
/** What `btoa` made a text of. Throws a `DOMException` where it is not base64. */
declare function atob(base64: string): string

/** A copy at every depth, cycles too. Functions, symbols, and what is more than data throw a `DOMException`. */
declare function structuredClone<T>(value: T, options?: { transfer?: ArrayBuffer[] }): T

/** Random numbers, digests and HMAC. */
declare class Crypto {
  private constructor()
  readonly subtle: SubtleCrypto
  /** Fills a typed array of integers, at most 65536 bytes of it, and answers it. In `execute` alone. */
  getRandomValues<T extends IntegerArray>(array: T): T
  /** A random UUID, of version 4. In `execute` alone. */
  randomUUID(): `${string}-${string}-${string}-${string}-${string}`
}
declare var crypto: Crypto
type IntegerArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array

type HashName = 'SHA-1' | 'SHA-256' | 'SHA-384' | 'SHA-512'
/** A hash by its name, in any case. SHA-1 protects nothing any more: it is there for what was made with it. */
type HashAlgorithm = HashName | Lowercase<HashName> | { name: HashName | Lowercase<HashName> }
/** An HMAC. Its key is as long as a block of the hash where `length`, in bits, says nothing. */
type HmacAlgorithm = { name: 'HMAC'; hash: HashAlgorithm; length?: number }
type HmacUsage = 'sign' | 'verify'
/** A key as JSON, by RFC 7517. */
interface JsonWebKey {
  kty?: string
  /** The key in base64url. */
  k?: string
  alg?: string
  use?: string
  key_ops?: string[]
  ext?: boolean
}

/**
 * Digests and HMAC. There is no other algorithm: what the web has besides (`encrypt`, `deriveBits`, ...) rejects with a
 * `DOMException` named `NotSupportedError`.
 */
declare class SubtleCrypto {
  private constructor()
  digest(algorithm: HashAlgorithm, data: BufferSource): Promise<ArrayBuffer>
  sign(algorithm: 'HMAC' | { name: 'HMAC' }, key: CryptoKey, data: BufferSource): Promise<ArrayBuffer>
  /** Takes the same time whatever the signature is. */
  verify(algorithm: 'HMAC' | { name: 'HMAC' }, key: CryptoKey, signature: BufferSource, data: BufferSource): Promise<boolean>
  importKey(
    format: 'raw',
    key: BufferSource,
    algorithm: HmacAlgorithm,
    extractable: boolean,
    usages: HmacUsage[],
  ): Promise<CryptoKey>
  importKey(
    format: 'jwk',
    key: JsonWebKey,
    algorithm: HmacAlgorithm,
    extractable: boolean,
    usages: HmacUsage[],
  ): Promise<CryptoKey>
  exportKey(format: 'raw', key: CryptoKey): Promise<ArrayBuffer>
  exportKey(format: 'jwk', key: CryptoKey): Promise<JsonWebKey>
  /** In `execute` alone. */
  generateKey(algorithm: HmacAlgorithm, extractable: boolean, usages: HmacUsage[]): Promise<CryptoKey>
}

/** A key. Its bytes are told by `exportKey` alone, where it is extractable. */
declare class CryptoKey {
  private constructor()
  readonly type: 'secret'
  readonly extractable: boolean
  readonly algorithm: { name: 'HMAC'; hash: { name: HashName }; length: number }
  readonly usages: HmacUsage[]
}

// The rest

/**
 * Lines for the author, at most 16 KiB a run: shown by `sluice test` and by `sluice execute --logs`. Values of one call stand
 * in one line, with spaces between them; in a text that comes first `%s`, `%d`, `%i`, `%f`, `%o`, `%O`, `%c` and `%%` mean what
 * they do on the web.
 */
interface Console {
  debug(...values: unknown[]): void
  /** The same as `info`. */
  log(...values: unknown[]): void
  info(...values: unknown[]): void
  warn(...values: unknown[]): void
  error(...values: unknown[]): void
  /** An error, where the condition does not hold. */
  assert(condition?: boolean, ...values: unknown[]): void
  /** How often it was called with this label. */
  count(label?: string): void
  countReset(label?: string): void
  /** The value; what the options say has no effect. */
  dir(value?: unknown, options?: object): void
  dirxml(...values: unknown[]): void
  /** What follows stands two spaces further in. */
  group(...values: unknown[]): void
  groupCollapsed(...values: unknown[]): void
  groupEnd(): void
  /** Ends all groups; no line goes away. */
  clear(): void
  /** A list or an object as a table; these columns alone where they are named. */
  table(data?: unknown, columns?: string[]): void
  time(label?: string): void
  /** Milliseconds since `time` was called with this label. */
  timeLog(label?: string, ...values: unknown[]): void
  timeEnd(label?: string): void
  /** With the stack. */
  trace(...values: unknown[]): void
}
declare var console: Console

/** Logs an error as one that nobody caught. The run goes on. */
declare function reportError(error: unknown): void

/** What the web calls failures that are not the language's, by their `name`: `AbortError`, `TimeoutError`, ... */
interface DOMException extends Error, DOMExceptionCodes {
  readonly name: string
  readonly message: string
  /** The number of old for the name; 0 for a name that has none. */
  readonly code: number
}
declare var DOMException: { prototype: DOMException; new (message?: string, name?: string): DOMException } & DOMExceptionCodes
/** The numbers of old. */
interface DOMExceptionCodes {
  readonly INDEX_SIZE_ERR: 1
  readonly DOMSTRING_SIZE_ERR: 2
  readonly HIERARCHY_REQUEST_ERR: 3
  readonly WRONG_DOCUMENT_ERR: 4
  readonly INVALID_CHARACTER_ERR: 5
  readonly NO_DATA_ALLOWED_ERR: 6
  readonly NO_MODIFICATION_ALLOWED_ERR: 7
  readonly NOT_FOUND_ERR: 8
  readonly NOT_SUPPORTED_ERR: 9
  readonly INUSE_ATTRIBUTE_ERR: 10
  readonly INVALID_STATE_ERR: 11
  readonly SYNTAX_ERR: 12
  readonly INVALID_MODIFICATION_ERR: 13
  readonly NAMESPACE_ERR: 14
  readonly INVALID_ACCESS_ERR: 15
  readonly VALIDATION_ERR: 16
  readonly TYPE_MISMATCH_ERR: 17
  readonly SECURITY_ERR: 18
  readonly NETWORK_ERR: 19
  readonly ABORT_ERR: 20
  readonly URL_MISMATCH_ERR: 21
  readonly QUOTA_EXCEEDED_ERR: 22
  readonly TIMEOUT_ERR: 23
  readonly INVALID_NODE_TYPE_ERR: 24
  readonly DATA_CLONE_ERR: 25
}

/** What runs this. */
declare class Navigator {
  private constructor()
  /** `sluice`. */
  readonly userAgent: string
}
declare var navigator: Navigator

/** The global object. It is no `EventTarget`. */
declare var self: typeof globalThis
