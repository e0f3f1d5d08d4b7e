import type { User } from '@supabase/supabase-js'
import { CliError } from '../cli-error.ts'
import type { ReferralDatabase } from '../database.ts'

const isId = (text: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)

/** A page of Auth's list of users has as many at most. */
const perPage = 1000

/**
 * The id of the user with an e-mail address or an id. With `invite`, a person who is not there yet is invited by e-mail. An
 * address that nobody has confirmed proves nothing: its user counts only if they were invited.
 */
export async function findPerson(
  database: ReferralDatabase,
  given: string,
  invite: boolean,
): Promise<{ id: string; invited: boolean }> {
  if (isId(given)) return { id: await findById(database, given.toLowerCase()), invited: false }
  if (!/^[^\s@]+@[^\s@]+$/.test(given))
    throw new CliError(`--admin: ${given} is neither an e-mail address nor the id of a user.`)
  const found = await findByEmail(database, given.toLowerCase())
  const [user] = found
  if (found.length > 1) {
    const ids = found.map(({ id }) => id).join(', ')
    throw new CliError(`Several users have the address ${given}. Pass one of their ids: ${ids}.`)
  }
  if (user && !user.email_confirmed_at && !user.invited_at)
    throw new CliError(
      `The user with the address ${given} has not confirmed it, so it can be somebody else’s. Confirm it first, or pass the id: ${user.id}.`,
    )
  if (user) return { id: user.id, invited: false }
  if (invite) return { id: await inviteByEmail(database, given), invited: true }
  throw new CliError(
    `No user has the address ${given}. Sign up in your app first, or add --invite, which sends an invitation.`,
  )
}

async function findById({ auth }: ReferralDatabase, id: string): Promise<string> {
  const { data, error } = await auth.admin.getUserById(id)
  if (error?.status === 404) throw new CliError(`There is no user ${id}.`)
  if (!data.user) throw new CliError(`The user ${id} cannot be read: ${error?.message}`)
  return data.user.id
}

async function findByEmail({ auth }: ReferralDatabase, email: string): Promise<User[]> {
  // A user who signs up meanwhile moves others to the next page, where they are seen again.
  const found = new Map<string, User>()
  for (let page = 1; ; page += 1) {
    const { data, error } = await auth.admin.listUsers({ page, perPage })
    if (error) throw new CliError(`The users cannot be listed: ${error.message}`)
    for (const user of data.users) if (user.email?.toLowerCase() === email) found.set(user.id, user)
    if (data.users.length < perPage) return [...found.values()]
    process.stderr.write(`${page * perPage} users read\n`)
  }
}

async function inviteByEmail({ auth }: ReferralDatabase, email: string): Promise<string> {
  const { data, error } = await auth.admin.inviteUserByEmail(email)
  if (data.user) return data.user.id
  throw new CliError(`The invitation was not sent: ${error?.message}`)
}
