import { missing } from './fields'

/** What schema.json describes. Its defaults are filled in before `execute` is called. */
type Config = {
  url: string
  fields: string[]
  from_login: number
  mode: RedirectMode
}

/** The key in the state that says that this sign-in has been asked. */
const ASKED = 'profile_asked'

export async function execute(input: Input<Config>): Promise<Outcome> {
  const { url, fields, from_login, mode } = input.context.config

  // Where no person is there, nobody could fill in a form: a program's sign-in must not end on it.
  if (!input.user || !input.request.interactive) return { kind: 'continue' }

  // A resumable redirect comes back. Who has just left the form without an answer is not sent there again.
  if (input.state[ASKED] === true) return { kind: 'continue' }

  // Newcomers are left in peace. A sign-in whose number is not known counts as the first.
  if ((input.user.logins_count ?? 1) < from_login) return { kind: 'continue' }

  const open = missing(input.user, fields)
  if (open.length === 0) return { kind: 'continue' }

  return {
    kind: 'redirect',
    reason_code: 'profile_incomplete',
    url,
    mode,
    // The page learns what to ask for. Names will do: values have no business in a URL, which ends up in logs.
    query: { fields: open.join(',') },
    state: { [ASKED]: true },
  }
}
