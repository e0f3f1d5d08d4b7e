/** verify_ledger names a table that is append-only, and whose trigger does not refuse every change any more. */
import { describe, expect, test } from 'vitest'
import { testDatabase, undone } from '../support/database.ts'
import { verified } from '../support/verified.ts'

const sql = await testDatabase()

describe('a table that is append-only', async () => {
  const triggers = await sql<{ name: string; table: string }[]>`
    select tgname as name, tgrelid::regclass::text as table from pg_trigger
    where tgfoid = 'referral_private.refuse_change'::regproc order by 1`

  test('is one of these, and no replica skips its trigger', async () => {
    expect(
      await sql`
        select tgrelid::regclass::text as table, tgenabled as enabled from pg_trigger
        where tgfoid = 'referral_private.refuse_change'::regproc order by 1`,
    ).toEqual(
      [
        'code_states',
        'decision_payers',
        'ledger_entries',
        'recorded_facts',
        'resolved_events',
        'stripe_events',
      ].map((table) => ({ table: `referral_private.${table}`, enabled: 'A' })),
    )
  })

  const changes = [
    ['dropped', (name: string, table: string) => `drop trigger ${name} on ${table}`],
    ['disabled', (name: string, table: string) => `alter table ${table} disable trigger ${name}`],
    [
      'one that a replica skips',
      (name: string, table: string) => `alter table ${table} enable trigger ${name}`,
    ],
    [
      'one that lets rows be deleted',
      (name: string, table: string) =>
        `drop trigger ${name} on ${table};
        create trigger ${name} before update or truncate on ${table}
        for each statement execute function referral_private.refuse_change();
        alter table ${table} enable always trigger ${name}`,
    ],
    [
      'one that refuses on a condition',
      (name: string, table: string) =>
        `drop trigger ${name} on ${table};
        create trigger ${name} before update or delete or truncate on ${table}
        for each statement when (false) execute function referral_private.refuse_change();
        alter table ${table} enable always trigger ${name}`,
    ],
    [
      'one of a single column',
      (name: string, table: string) => `
        drop trigger ${name} on ${table};
        do $$
        begin
          execute (
            select format(
              'create trigger %I before update of %I or delete or truncate on ${table}
              for each statement execute function referral_private.refuse_change()', '${name}', attname
            )
            from pg_attribute where attrelid = '${table}'::regclass and attnum = 1
          );
        end $$;
        alter table ${table} enable always trigger ${name}`,
    ],
    [
      'one that lets changes pass',
      (name: string, table: string) =>
        `drop trigger ${name} on ${table};
        create function public.pass() returns trigger language plpgsql as 'begin return null; end';
        create trigger ${name} before update or delete or truncate on ${table}
        for each statement execute function public.pass();
        alter table ${table} enable always trigger ${name}`,
    ],
  ] as const

  test.for(
    changes.flatMap((change) =>
      triggers.map(({ name, table }) => [...change, name, table] as const),
    ),
  )('is named where its trigger is %s: %3$s', ([, change, name, table]) =>
    undone(sql, async (tx) => {
      await tx.unsafe(change(name, table))
      expect((await verified(tx)).faults).toMatchObject([
        {
          ...{ kind: 'trigger', subject: table.replace('referral_private.', '') },
          ...{ expected: 1, found: 0 },
        },
      ])
    }),
  )
})
