/** The order in which test files run for a mutation: those that probably notice it, then the fast, then the slow ones. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../stack/root.ts'
import type { Mutation } from './mutation.ts'
import type { Result } from './results.ts'

const filesIn = (folder: string) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `${folder}/${name}`)

// The tests of plans measure speed, which a mutation may change.
const fast = [
  'tests/schema/collations.test.ts',
  'tests/schema/constraints.test.ts',
  ...['tests/security', 'tests/sql']
    .flatMap(filesIn)
    .filter((file) => !/\/(plans|grown)\./.test(file)),
]
const slow = ['tests/concurrency', 'tests/properties']
  .flatMap(filesIn)
  .concat('tests/sql/grown.test.ts')

/** The tests of an area, which the beginning of a mutation's name says. */
const areas: [area: RegExp, tests: string[]][] = [
  [/^(constraint|unique index) /, ['tests/schema/constraints']],
  [/^(policy|row-level security) /, ['tests/security/rows']],
  [/^grant /, ['tests/security/grants']],
  [/^trigger .*append_only$/, ['tests/sql/ledger']],
  [/^trigger .*immutable$/, ['tests/sql/programs']],
  [/^trigger .*on_record$/, ['tests/sql/changes']],
  [/^trigger .*keep_what_they_are$/, ['tests/sql/verified-triggers']],
  [/^trigger .*states$/, ['tests/sql/code-states']],
  [/^trigger .*switch$/, ['tests/sql/commissions']],
  [/^trigger /, ['tests/sql/codes', 'tests/sql/code-management', 'tests/security/rows']],
  [/^busy\b/, ['tests/sql/violations']],
  [/^lock\b/, ['tests/concurrency/locks', 'tests/concurrency/codes']],
  [/^quota:/, ['tests/concurrency/codes', 'tests/sql/redemptions']],
  [/^redeem:/, ['tests/sql/redemptions', 'tests/sql/codes', 'tests/sql/validation']],
  [
    /^(identity|staff):/,
    ['tests/security/calls', 'tests/sql/members', 'tests/sql/codes', 'tests/sql/organisations'],
  ],
  [/^decisions:/, ['tests/sql/decisions', 'tests/sql/rejected-referrals', 'tests/sql/forfeits']],
  [/^codes:/, ['tests/sql/codes', 'tests/sql/code-management', 'tests/sql/carried-codes']],
  [/^code states:/, ['tests/sql/code-states']],
  [/^sign-up:/, ['tests/sql/sign-up-reservations']],
  [/^normal form:/, ['tests/sql/code-strings', 'tests/sql/hostile-codes']],
  [/^click partitions:/, ['tests/sql/click-maintenance']],
  [/^click site:/, ['tests/sql/link-sites']],
  [/^click/, ['tests/sql/clicks', 'tests/sql/clicked-redemptions']],
  [/^(rows|money)/, ['tests/security/money-rows']],
  [/^page:/, ['tests/sql/pages']],
  [/^health:/, ['tests/sql/health', 'tests/sql/installation-health']],
  [/^violation:/, ['tests/sql/violations']],
  [
    /^oracle:/,
    [
      'tests/properties/amounts',
      'tests/properties/splits',
      'tests/sql/commissions',
      'tests/sql/terms-in-force',
      'tests/properties/stories',
    ],
  ],
  [/^known:/, ['tests/sql/recognition', 'tests/sql/other-names', 'tests/properties/told']],
  [/^events:/, ['tests/sql/stripe-events', 'tests/sql/parked-events', 'tests/concurrency/money']],
  [
    /^(credit|organisation|forfeits|guests|customers|amounts):/,
    [
      'tests/properties/told',
      'tests/sql/commissions',
      'tests/sql/decided-money',
      'tests/properties/stories',
    ],
  ],
  [/^settling:/, ['tests/sql/settling', 'tests/sql/other-names', 'tests/concurrency/locks']],
  [
    /^(sales|winner|ledger):/,
    [
      'tests/sql/stripe-events',
      'tests/properties/splits',
      'tests/sql/commissions',
      'tests/properties/stories',
    ],
  ],
]

/** The hinted files: the one that failed last time, then the mutation's own hint or else those of its area. */
function hintsOf({ name, tests }: Mutation, last?: Result): string[] {
  const known = last?.killedBy?.file
  const all = [...fast, ...slow]
  const hints = tests ?? areas.find(([area]) => area.test(name))?.[1] ?? []
  const hinted = [...(known ? [known] : []), ...hints]
  return [...new Set(hinted.flatMap((hint) => all.filter((file) => file.startsWith(hint))))]
}

/** All test files in groups, which run one after another until a test fails: the hinted ones each by itself. */
export function groupsOf(mutation: Mutation, last?: Result): string[][] {
  const hinted = hintsOf(mutation, last)
  const rest = [fast, slow].map((files) => files.filter((file) => !hinted.includes(file)))
  return [...hinted.map((file) => [file]), ...rest].filter((files) => files.length > 0)
}

/** The groups of hinted files alone. */
export const hintedGroupsOf = (mutation: Mutation, last?: Result): string[][] =>
  hintsOf(mutation, last).map((file) => [file])
