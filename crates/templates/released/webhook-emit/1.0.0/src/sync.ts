import type { Config } from './rules'
import { sign } from './shared/signature'

/** An event as Standard Webhooks sends it. */
type Event = { type: string; timestamp: Time; data: JsonObject }

const TIMEOUT_MS = 500
/** Kept back of the time that the run has left, for saying what went wrong. */
const RESERVE_MS = 100
/** The most bytes of a body. */
const MAX_BODY_BYTES = 20_000

/** Sends an event once, while the sign-in waits. Every answer but 2xx is a failure, and the attachment's policy decides. */
export async function post(input: Input<Config>, event: Event): Promise<void> {
  const { config, deadline_ms } = input.context
  if (config.secret_ref === undefined) throw new Error('secret_ref names no secret')
  const body = JSON.stringify(event)
  const bytes = new TextEncoder().encode(body).length
  if (bytes > MAX_BODY_BYTES) throw new Error(`the event has ${bytes} bytes; one has at most ${MAX_BODY_BYTES}`)

  const id = messageId(input)
  const timestampS = Math.floor(Date.now() / 1000)
  const { status } = await fetch(config.url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...config.headers,
      'webhook-id': id,
      'webhook-timestamp': String(timestampS),
      'webhook-signature': await sign(secrets.get(config.secret_ref), id, timestampS, body),
    },
    body,
    signal: AbortSignal.timeout(Math.max(1, Math.min(config.timeout_ms ?? TIMEOUT_MS, deadline_ms - RESERVE_MS))),
    redirect: 'manual',
  })
  if (status < 200 || status > 299) throw new Error(`the webhook answers with the status ${status}`)
}

/** One id for an execution and its retries. A dot would be read as the end of it. */
function messageId({ context }: Input<Config>): string {
  return `msg_${encodeURIComponent(`${context.execution_id}_${context.attachment.id}`).replaceAll('.', '%2E')}`
}
