import { memberships } from './memberships'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = {
  allowed_organizations: string[]
  on_no_organization: 'block' | 'continue'
  role_claim?: string
  user_message: string
}

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { config, organization } = input.context

  if (!organization?.id) {
    if (config.on_no_organization === 'continue') return { kind: 'continue' }
    return { kind: 'block', reason_code: 'organization_missing', user_message: config.user_message }
  }

  const membership = memberships(input.user).find(({ id }) => id === organization.id)
  if (!membership && !config.allowed_organizations.includes(organization.id)) {
    return { kind: 'block', reason_code: 'organization_not_allowed', user_message: config.user_message }
  }

  if (!config.role_claim || !membership?.role) return { kind: 'continue' }
  return {
    kind: 'continue',
    // Short names such as `org_id` belong to standards and to the platform. A URL of your own clashes with nobody's.
    claims: [{ token: 'both', name: config.role_claim, value: membership.role }],
  }
}
