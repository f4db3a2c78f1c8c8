// All triggers, and no other.

export async function execute(input: Input): Promise<Outcome> {
  switch (input.trigger) {
    case 'pre-login':
    case 'post-identifier':
    case 'post-credential-validation':
    case 'post-mfa-challenge':
    case 'pre-user-registration':
    case 'pre-profile-update':
      return { kind: 'block' }
    case 'pre-mfa-challenge':
      return { kind: 'demand_mfa' }
    case 'post-login':
    case 'pre-password-reset':
      return { kind: 'redirect', url: 'https://example.com' }
    case 'pre-token-issue':
    case 'credentials-exchange':
    case 'token-exchange':
      return { kind: 'continue', claims: [] }
    case 'post-user-registration':
    case 'post-change-password':
    case 'login-failed':
    case 'post-logout':
      return { kind: 'continue' }
    default:
      // Were one missing above, this would not compile.
      return input.trigger satisfies never
  }
}
