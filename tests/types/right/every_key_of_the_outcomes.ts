// Every kind with every key that it takes.

const common: Common = {
  reason_code: 'all.of_them',
  state: { text: 'a', number: 1, list: [true, null], object: { deep: { deeper: [] } }, gone: null },
  claims: [
    { token: 'id', name: 'https://example.com/plan', value: 'free' },
    { token: 'access', name: 'https://example.com/seats', value: { used: 3 }, if_exists: 'keep' },
    { token: 'both', name: 'https://example.com/groups', value: ['a'], if_exists: 'overwrite' },
    { token: 'both', name: 'https://example.com/once', value: null, if_exists: 'error' },
  ],
  emit: [
    { type: 'signed_in', data: { at: 'now' }, to: [{ url: 'https://hooks.example.com' }, { url_secret: 'HOOK' }] },
    {
      type: 'signed_in',
      data: { text: 'hello' },
      dedupe_key: 'once',
      on: 'always',
      to: [
        {
          url_secret: 'SLACK',
          format: 'slack',
          signing_secret: 'SIGN',
          headers: { 'x-tenant': 'a' },
          timeout_ms: 1000,
          max_attempts: 3,
          max_per_minute: 10,
          digest: true,
        },
      ],
    },
    { type: 'refused', data: null, on: 'blocked', to: [{ url: 'https://hooks.example.com', format: 'standard' }] },
    { type: 'passed', data: null, on: 'success', to: [{ url: 'https://hooks.example.com' }] },
  ],
  annotations: { text: 'a', number: 1.5, flag: false },
}

export const outcomes: Outcome[] = [
  { kind: 'continue' },
  { kind: 'block' },
  { kind: 'demand_mfa' },
  { kind: 'redirect', url: 'https://example.com' },
  { kind: 'continue', ...common },
  { kind: 'block', user_message: 'No.', error: 'access_denied', retry_after_s: 0, ...common },
  { kind: 'block', error: 'rate_limited', retry_after_s: 60 },
  { kind: 'block', error: 'risk_denied' },
  {
    kind: 'demand_mfa',
    factors: ['otp', 'webauthn', 'push', 'email', 'sms', 'recovery'],
    max_age_s: 3600,
    allow_remember: true,
    on_unenrolled: 'enroll',
    on_non_interactive: 'continue',
    ...common,
  },
  { kind: 'demand_mfa', factors: [], on_unenrolled: 'block', on_non_interactive: 'block' },
  { kind: 'demand_mfa', on_unenrolled: 'continue' },
  { kind: 'redirect', url: 'https://example.com', mode: 'landing', query: {}, ...common },
  { kind: 'redirect', url: 'https://example.com', mode: 'resumable', query: { lang: 'de' } },
]

export async function execute(input: Input): Promise<Outcome> {
  return outcomes[input.context.attachment.position] ?? { kind: 'continue' }
}
