/** health of the installation: each check once red, by a fault that is made, and once green. */
import { describe, expect, test } from 'vitest'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { operator } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { checkOf } from '../support/health.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'
import { apply, germanDates } from '../support/settings.ts'
import { earning } from '../support/verified.ts'

const sql = await testDatabase()

type Told = { tx: Sql; check: () => Promise<Record<string, unknown>> }

/** What the operator is told by a check, of all organisations. */
const about = (name: string, work: (told: Told) => Promise<void>) =>
  undone(sql, (tx) => work({ tx, check: () => checkOf(operator(tx), name) }))

const run = (tx: Sql) => operator(tx).rpc('run_maintenance')
/** Runs the jobs, after the call that makes the partitions of clicks. */
const runAll = async (tx: Sql) => {
  for (const _ of ['partitions', 'jobs']) await run(tx)
}

describe('jobs', () => {
  const schedule = `In the SQL editor, after "create extension if not exists pg_cron": select cron.schedule('referral maintenance', '* * * * *', 'select * from referral.run_maintenance()')`

  test('fails until the jobs have run, and once they have not for an hour', () =>
    about('jobs', async ({ tx, check }) => {
      const never = { ok: false, message: 'No job has run yet.', remedy: schedule }
      expect(await check()).toMatchObject(never)
      await runAll(tx)
      expect(await check()).toMatchObject({
        ...{ ok: true, found: null, remedy: null },
        message: expect.stringMatching(/^The jobs ran last at \d{4}-\d\d-\d\dT[\d:.]+Z\.$/),
      })
      await tx`update referral_private.maintenance_runs set ran_at = '2026-01-02 03:04:05+00'`
      const message = 'No job has run since 2026-01-02T03:04:05Z.'
      expect(await check()).toMatchObject({ ok: false, message, remedy: schedule })
    }))

  test('fails while a job fails', () =>
    about('jobs', async ({ tx, check }) => {
      await tx.unsafe(`
        create or replace function referral_private.purge_rate_limits(p_max_rows int default 1000)
        returns int language plpgsql as 'begin return 1 / 0; end'`)
      await runAll(tx)
      expect(await check()).toMatchObject({
        ...{ ok: false, found: 1n, message: 'Jobs that fail: purge_rate_limits (22012).' },
        remedy:
          'Read the message in the log of the database, and report it. The page on reliability says which jobs there are.',
      })
    }))

  test('fails once a job has left something in every run for more than an hour', () =>
    about('jobs', async ({ tx, check }) => {
      await tx.unsafe(`
        create or replace function referral_private.expire_codes(p_max_rows int default 1000)
        returns int language plpgsql as 'begin return 1000; end'`)
      await runAll(tx)
      expect(await check()).toMatchObject({ ok: true })
      await tx`update referral_private.maintenance_runs set behind_since = behind_since - interval '61 minutes'`
      await run(tx)
      expect(await check()).toMatchObject({
        ...{ ok: false, found: 1n },
        message: 'Jobs that have left something for more than an hour: expire_codes.',
        remedy:
          'In the SQL editor, until no row has more: select * from referral.run_maintenance(max_seconds => 30)',
      })
    }))
})

describe('settlement', () => {
  test('fails where an event or a payer has waited for ten minutes', () =>
    about('settlement', async ({ tx, check }) => {
      expect(await check()).toMatchObject({
        ok: true,
        message: 'Nothing waits to be settled for long.',
      })
      await tx`insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by, queued_at)
        values ('', true, 'cus_1', 'evt_1', now() - interval '9 minutes')`
      expect(await check()).toMatchObject({ ok: true })
      await tx`update referral_private.to_settle set queued_at = '2026-01-01 00:00Z'`
      expect(await check()).toMatchObject({
        ...{ ok: false, found: 1n },
        message: 'Events and payers that wait to be settled: 1, since 2026-01-01T00:00:00Z.',
        remedy:
          'In the SQL editor, until no row has more: select * from referral.settle_stripe_events()',
      })
    }))
})

describe('clicks_partition', () => {
  const next = async (tx: Sql) => {
    const rows =
      await tx`select partition from referral_private.months_of('referral_private.clicks') order by 1`
    return String(rows[1]?.partition)
  }

  test('fails until the jobs have run, and without a partition of the next month', () =>
    about('clicks_partition', async ({ tx, check }) => {
      expect(await check()).toMatchObject({
        ok: false,
        found: 2n,
        remedy: 'In the SQL editor: select * from referral.run_maintenance()',
      })
      await run(tx)
      expect(await check()).toMatchObject({
        ok: true,
        message: 'No month lacks its partition of clicks; clicks in the default partition: 0.',
      })
      const partition = await next(tx)
      await tx.unsafe(`drop table referral_private.${partition}`)
      const month = partition.replace('clicks_', '').replace('_', '-')
      const message = `Months that have no partition of clicks: ${month}.`
      expect(await check()).toMatchObject({ ok: false, found: 1n, message })
    }))

  test('passes for a month that the default partition keeps', () =>
    about('clicks_partition', async ({ tx, check }) => {
      await tx`insert into referral_private.clicks (org_id, code_id, click_id, clicked_at, counted, platform)
        values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now(), true, 'web')`
      await run(tx)
      expect(await check()).toMatchObject({
        ok: true,
        message: 'No month lacks its partition of clicks; clicks in the default partition: 1.',
      })
    }))
})

describe('what the jobs have left for more than an hour', () => {
  const past = (minutes: number) => `clock_timestamp() - interval '${minutes} minutes'`
  const faults: [name: string, make: (tx: Sql, minutes: number) => Promise<unknown>][] = [
    [
      'due_commissions',
      async (tx, minutes) => {
        await earning(tx, [5])
        await tx.unsafe(`update referral_private.postings set due_at = ${past(minutes)}
          where kind = 'pending'`)
      },
    ],
    [
      'expired_codes',
      async (tx, minutes) => {
        const { org, mentor } = await scene(tx)
        await codeOf(mentor, org)
        await tx`set constraints all immediate`
        await tx.unsafe(`update referral.codes set expires_at = ${past(minutes)}`)
      },
    ],
    [
      'sign_up_claims',
      (tx, minutes) =>
        tx.unsafe(`insert into referral_private.sign_up_claims (user_id, code, claimed_at)
          values (gen_random_uuid(), 'ABC', ${past(minutes)} - interval '90 days')`),
    ],
    [
      'sign_up_claims',
      async (tx, minutes) => {
        const { org, mentor } = await scene(tx)
        const { id } = await codeOf(mentor, org)
        await tx.unsafe(`insert into referral_private.sign_up_reservations
          values (gen_random_uuid(), '${org}', '${id}', ${past(minutes)})`)
      },
    ],
    [
      'day_keys',
      (tx, minutes) =>
        tx.unsafe(`insert into referral_private.day_keys
          values ((now() at time zone 'utc')::date - ${minutes > 60 ? 2 : 0}, 'key')`),
    ],
  ]

  test.for(faults)('%s fails, and passes before and after', ([name, make]) =>
    about(name, async ({ tx, check }) => {
      expect(await check()).toMatchObject({ ok: true, found: null, remedy: null })
      await tx`savepoint before`
      await make(tx, 59)
      expect(await check()).toMatchObject({ ok: true })
      await tx`rollback to before`
      await make(tx, 61)
      expect(await check()).toMatchObject({
        ...{ ok: false, found: 1n, message: expect.stringMatching(/: 1\.$/) },
        remedy:
          'In the SQL editor, until no row has more: select * from referral.run_maintenance(max_seconds => 30)',
      })
    }),
  )

  test('a job that runs mends it', () =>
    about('sign_up_claims', async ({ tx, check }) => {
      await tx`insert into referral_private.sign_up_claims (user_id, code, claimed_at)
        values (gen_random_uuid(), 'ABC', now() - interval '1 year')`
      expect(await check()).toMatchObject({ ok: false })
      await runAll(tx)
      expect(await check()).toMatchObject({ ok: true })
    }))
})

test('parked_events fails for live events, with their reasons, and not for those of test mode', () =>
  about('parked_events', async ({ tx, check }) => {
    const message = 'No live event is parked; events of test mode that are: '
    expect(await check()).toMatchObject({ ok: true, found: null, message: `${message}0.` })
    const park = (livemode: boolean) =>
      ingest(tx, { ...paidInvoice({ livemode }), api_version: '2031-01-01.future' })
    expect(await park(false)).toBe('parked')
    expect(await check()).toMatchObject({ ok: true, message: `${message}1.` })
    for (const _ of ['first', 'second']) await park(true)
    const [{ reason } = {}] = await tx`select reason from referral_private.parked_events limit 1`
    expect(await check()).toMatchObject({
      ...{ ok: false, found: 2n },
      message: `Live events that are parked and earn nothing: 2 (${reason} 2).`,
      remedy: 'Run "npx --no-install referbase parked".',
    })
  }))

test('stripe_events says when the last event was made, and is no fault', () =>
  about('stripe_events', async ({ tx, check }) => {
    expect(await check()).toMatchObject({
      ok: true,
      found: 0n,
      message: "No event of Stripe's has come yet.",
    })
    const at = Date.UTC(2026, 0, 2) / 1000
    await ingest(tx, { ...paidInvoice({}), created: at })
    await ingest(tx, { ...paidInvoice({}), created: at - 60 })
    const message = "The last event of Stripe's is of 2026-01-02T00:00:00Z."
    expect(await check()).toMatchObject({ ok: true, found: null, message })
  }))

test('ledger_triggers fails while a guard is off, and names the table', () =>
  about('ledger_triggers', async ({ tx, check }) => {
    expect(await check()).toMatchObject({ ok: true, found: null })
    await tx`alter table referral_private.ledger_entries disable trigger ledger_entries_are_append_only`
    expect(await check()).toMatchObject({
      ...{ ok: false, found: 1n },
      message: 'Tables without the trigger that guards what is written once: ledger_entries.',
      remedy:
        'In the SQL editor: alter table referral_private.ledger_entries enable always trigger ledger_entries_are_append_only; select * from referral.verify_ledger()',
    })
    await tx`drop trigger ledger_entries_are_append_only on referral_private.ledger_entries`
    expect(await check()).toMatchObject({
      ...{ ok: false, found: 1n },
      remedy:
        'Make the trigger as the migration does, for: ledger_entries. In the SQL editor: select * from referral.verify_ledger()',
    })
  }))

test('the remedy of ledger_triggers makes every trigger one that no replica skips', () =>
  about('ledger_triggers', async ({ tx, check }) => {
    for (const table of ['referral.codes', 'referral.decisions', 'referral_private.switches'])
      await tx.unsafe(
        `alter table ${table} disable trigger user; alter table ${table} enable trigger user`,
      )
    const { ok, found, remedy } = (await check()) as Record<string, unknown>
    expect({ ok, found }).toEqual({ ok: false, found: 3n })
    await tx.unsafe(String(remedy).replace('In the SQL editor: ', ''))
    expect(await check()).toMatchObject({ ok: true })
  }))

test('unattributed and pending_past_window are of all organisations together', () =>
  undone(sql, async (tx) => {
    for (const _ of ['one', 'other']) {
      const { org, mentor, friend } = await scene(tx)
      await friend.rpc('redeem_code', { code: (await codeOf(mentor, org)).code })
      await ingest(tx, paidInvoice({ customer: `cus_${org}`, orgId: org }))
    }
    await tx`update referral.redemptions set redeemed_at = now() - interval '91 days'`
    for (const name of ['unattributed', 'pending_past_window'])
      expect(await checkOf(operator(tx), name)).toMatchObject({ ok: false, found: 2n })
  }))

test('organisations fails where there is none', () =>
  about('organisations', async ({ tx, check }) => {
    expect(await check()).toMatchObject({
      ...{ ok: false, found: 0n, message: 'There is no organisation.' },
      remedy: 'Run "npx --no-install referbase setup".',
    })
    await scene(tx)
    expect(await check()).toMatchObject({ ok: true, found: 1n, message: 'Organisations: 1.' })
  }))

describe('the checks of every organisation', () => {
  const made = async (tx: Sql, slug: string) => {
    const here = await scene(tx)
    await tx`update referral.organisations set slug = ${slug} where id = ${here.org}`
    const set = (changes: object) =>
      operator(tx).rpc('update_organisation', { org_id: here.org, changes })
    return { ...here, set }
  }
  const web = { web_destination: 'https://example.org' }

  test('say what is wrong with the one that fails, and name three of several', () =>
    about('destinations', async ({ tx, check }) => {
      const { set } = await made(tx, 'd')
      expect(await check()).toMatchObject({
        ...{ ok: false, found: 1n, message: 'd: web_destination is not set.' },
        remedy: expect.stringContaining('referbase setup --slug d" with --web'),
      })
      await set(web)
      const message = 'Every organisation passes that is switched on.'
      expect(await check()).toMatchObject({ ok: true, found: null, message, remedy: null })
      for (const slug of ['c', 'b', 'e', 'a']) await made(tx, slug)
      expect(await check()).toMatchObject({
        ...{ ok: false, found: 4n, message: 'Organisations that fail: 4, such as a, b, c.' },
        remedy:
          'Run "npx --no-install referbase doctor --org ID" for each, with the id of the organisation.',
      })
    }))

  test.for(['destinations', 'program', 'admin', 'codes'])('%s is one of them', (name) =>
    about(name, async ({ tx, check }) => {
      const { set, org, program, admin, mentor } = await made(tx, 'd')
      await set(web)
      await codeOf(mentor, org)
      expect(await check()).toMatchObject({ ok: true })
      await tx`set constraints all immediate`
      await set({ web_destination: null })
      await tx`update referral.programs set active = false where id = ${program}`
      await tx`update referral.members set deactivated_at = now() where user_id = ${admin.id}`
      await operator(tx).rpc('deactivate_code', { org_id: org, referrer_id: mentor.id })
      expect(await check()).toMatchObject({ ok: false, found: 1n })
      await set({ active: false })
      expect(await operator(tx).rpc('health')).not.toContainEqual(expect.objectContaining({ name }))
    }),
  )
})

test('clock says the time of the database in ISO 8601, whatever the session’s settings are', () =>
  about('clock', async ({ tx, check }) => {
    await apply(tx, germanDates)
    const { ok, message } = await check()
    const [, said = ''] = /^The clock of the database says (\S+Z)\.$/.exec(String(message)) ?? []
    expect(ok).toBe(true)
    expect(Math.abs(Date.parse(said) - Date.now())).toBeLessThan(600_000)
  }))

test('every check that fails has a remedy, and no other has', () =>
  undone(sql, async (tx) => {
    const { org, admin } = await scene(tx)
    const rows = [
      ...(await operator(tx).rpc('health')),
      ...(await admin.rpc('health', { org_id: org })),
    ]
    for (const { name, ok, message, remedy } of rows) {
      expect(message, String(name)).toMatch(/^\S.*\.$/)
      expect(remedy === null, String(name)).toBe(ok)
    }
  }))
