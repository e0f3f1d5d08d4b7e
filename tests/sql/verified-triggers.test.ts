/** verify_ledger names a table whose rows are written once, and whose trigger does not refuse every change any more. */
import { describe, expect, test } from 'vitest'
import { testDatabase, undone } from '../support/database.ts'
import { verified } from '../support/verified.ts'

const sql = await testDatabase()

type Guard = Record<'name' | 'table' | 'column' | 'guard' | 'level' | 'events', string>

describe('a table whose rows are written once', async () => {
  const triggers = await sql<(Guard & { enabled: string })[]>`
    select tgname as name, tgrelid::regclass::text as table, tgfoid::regproc::text as guard, tgenabled as enabled,
      (select attname from pg_attribute where attrelid = tgrelid and attnum = 1) as column,
      case when (tgtype & 1) = 1 then 'row' else 'statement' end as level,
      case when (tgtype & 32) = 32 then 'delete or truncate' else 'delete' end as events
    from pg_trigger
    where tgfoid in (
      'referral_private.refuse_change'::regproc, 'referral_private.guard_terms'::regproc,
      'referral_private.guard_code'::regproc, 'referral_private.guard_decision'::regproc
    ) and tgname <> 'codes_are_never_truncated'
    order by 2`

  test('is one of these, and no replica skips its trigger', () => {
    expect(triggers.map(({ table, enabled }) => ({ table, enabled }))).toEqual(
      [
        'referral.codes',
        'referral.decisions',
        'referral.program_terms',
        'referral_private.archived_events',
        'referral_private.changes',
        'referral_private.code_states',
        'referral_private.decision_payers',
        'referral_private.ledger_entries',
        'referral_private.recorded_facts',
        'referral_private.resolved_events',
        'referral_private.stripe_events',
        'referral_private.stripe_events_default',
        'referral_private.switches',
      ].map((table) => ({ table, enabled: 'A' })),
    )
  })

  /** The trigger made anew, with another guard, a condition, or another list of events. */
  const remade = (
    { name, table, level, events, ...of }: Guard,
    { guard = of.guard, condition = '', on = `update or ${events}` } = {},
  ) => `
    drop trigger ${name} on ${table};
    create trigger ${name} before ${on} on ${table}
    for each ${level} ${condition} execute function ${guard}();
    alter table ${table} enable always trigger ${name}`
  test('can have a second trigger that a replica skips', () =>
    undone(sql, async (tx) => {
      const [first] = triggers.filter(({ table }) => table === 'referral_private.ledger_entries')
      await tx.unsafe(`
        create trigger a_second before update or delete or truncate on referral_private.ledger_entries
        for each statement execute function referral_private.refuse_change();
        ${remade(first as Guard)}`)
      expect((await verified(tx)).faults).toEqual([])
    }))

  const changes: [string, (of: Guard) => string][] = [
    ['dropped', ({ name, table }) => `drop trigger ${name} on ${table}`],
    ['disabled', ({ name, table }) => `alter table ${table} disable trigger ${name}`],
    [
      'one that a replica skips',
      ({ name, table }) => `alter table ${table} enable trigger ${name}`,
    ],
    [
      'one that lets rows be deleted',
      (of) => remade(of, { on: `update ${of.events.replace('delete', '')}` }),
    ],
    ['one that refuses on a condition', (of) => remade(of, { condition: 'when (false)' })],
    [
      'one of a single column',
      (of) => remade(of, { on: `update of ${of.column} or ${of.events}` }),
    ],
    [
      'one that lets changes pass',
      (of) => `
        create function public.pass() returns trigger language plpgsql as 'begin return null; end';
        ${remade(of, { guard: 'public.pass' })}`,
    ],
  ]

  test.for(
    changes.flatMap(([change, made]) =>
      triggers.map((of) => [change, of.table, made(of)] as const),
    ),
  )('is named where its trigger is %s: %s', ([, table, change]) =>
    undone(sql, async (tx) => {
      await tx.unsafe(change)
      expect((await verified(tx)).faults).toMatchObject([
        {
          ...{ kind: 'trigger', subject: table.replace(/^.*[.]/, '') },
          ...{ expected: 1, found: 0 },
        },
      ])
    }),
  )
})
