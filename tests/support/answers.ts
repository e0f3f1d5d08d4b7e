/** What callers are answered: an error code, `denied` without EXECUTE, `none` for no row, `ok`. Rows that recur. */
import { type Caller, callers } from './stage.ts'

export type Answers = Record<Caller, string>

export const all = (answer: string) => to(answer, ...callers) as Answers

/** The same answer to some. */
export const to = (answer: string, ...who: Caller[]): Partial<Answers> =>
  Object.fromEntries(who.map((caller) => [caller, answer]))

export const everybody = all('ok')
export const operatorOnly: Answers = { ...all('denied'), operator: 'ok' }

/** Signed-in people, each for themself. The operator is no person. */
export const signedIn: Answers = {
  ...everybody,
  ...to('denied', 'anon', 'operator'),
  guest: 'anonymous_user',
}

/** Nobody; those who are no members of the organisation are told so. */
const outsiders: Answers = {
  ...all('not_a_member'),
  ...to('not_allowed', 'referrer', 'coordinator', 'admin', 'operator'),
  anon: 'denied',
  guest: 'anonymous_user',
}
export const adminOnly: Answers = { ...outsiders, ...to('ok', 'admin', 'operator') }
export const staffOnly: Answers = { ...adminOnly, coordinator: 'ok' }
export const earnerAndAdmins: Answers = { ...adminOnly, referrer: 'ok' }
export const referrerAndStaff: Answers = { ...staffOnly, referrer: 'ok' }

/** To people who are not staff there is no such thing, anonymous sign-ins included. */
export const hiddenFromOthers = (error: string): Answers => ({
  ...all(error),
  ...to('ok', 'coordinator', 'admin', 'operator'),
  anon: 'denied',
})
