import type { ProgramTerms } from '../../client/terms.ts'

type ReadyProgram = { key: string; name: string; about: string; note?: string; terms: ProgramTerms }

/** The programmes that `--program` names, with the terms of docs/terms.md. */
export const readyPrograms = {
  percent: {
    key: 'friends',
    name: 'Bring a friend',
    about: '20 percent of what a friend pays within 12 months',
    terms: {
      enrolment: 'open',
      commission: { kind: 'percent', bps: 2000 },
      recurrence: { months: 12 },
      max_commission_per_referral: { usd: 5000, eur: 5000 },
    },
  },
  credit: {
    key: 'friends',
    name: 'Give 5, get 5',
    about: '5.00 of credit for both, for the first purchase of a new friend',
    note: 'Credit is counted, and not paid out: that is not part of this version. Pay it yourself, by org_liabilities.',
    terms: {
      enrolment: 'open',
      commission: { kind: 'flat', amount: { usd: 500, eur: 500 } },
      referee_reward: { kind: 'flat', amount: { usd: 500, eur: 500 } },
      minimum_sale: { usd: 2000, eur: 2000 },
      new_users_only_days: 30,
    },
  },
  bounty: {
    key: 'friends',
    name: 'Bring a friend',
    about: '10.00 for each new customer who buys for 20.00 or more',
    terms: {
      enrolment: 'open',
      commission: { kind: 'flat', amount: { usd: 1000, eur: 1000 } },
      recurrence: 'once',
      minimum_sale: { usd: 2000, eur: 2000 },
    },
  },
  ambassadors: {
    key: 'ambassadors',
    name: 'Ambassadors',
    about: 'invited people get 10, 15 or 20 percent, more for more friends',
    terms: {
      enrolment: 'invited',
      tiers: [
        { from: 1, bps: 1000 },
        { from: 11, bps: 1500 },
        { from: 51, bps: 2000 },
      ],
      recurrence: 'forever',
      hold_days: 30,
    },
  },
  mentors: {
    key: 'mentors',
    name: 'Mentors',
    about: 'invited people bring others, without money',
    terms: { enrolment: 'invited', customers: 'any', guests: false },
  },
} as const satisfies Record<string, ReadyProgram>

export type ReadyProgramName = keyof typeof readyPrograms

export const readyProgramNames = Object.keys(readyPrograms) as ReadyProgramName[]
