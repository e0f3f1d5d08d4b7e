/** Batches of codes at once: one in an organisation, and nobody waits for their thousands of rows. */
import { expect, test } from 'vitest'
import { completedSession } from '../fixtures/stripe/checkout-session-completed.ts'
import { operator, person, refusal } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { codeOf, scene } from '../support/scene.ts'
import { sessions } from '../support/sessions.ts'

const sql = await testDatabase()

const batches = [
  ['generate_codes', () => ({ count: 3 })],
  ['import_codes', () => ({ rows: [{ code: text() }] })],
  ['import_codes', () => ({ rows: [{ code: text() }], dry_run: true })],
] as const
const text = () => `ONCE${crypto.randomUUID().slice(0, 8)}7`

test.for(batches)('a second batch beside %s is refused at once: busy', ([rpc, args]) =>
  sessions(sql, async (one, other) => {
    const { org, coordinator, admin } = await scene(sql)
    await person(one.tx, coordinator.id).rpc(rpc, { org_id: org, ...args() })
    for (const [second, more] of batches) {
      const call = (by: ReturnType<typeof person>) => by.rpc(second, { org_id: org, ...more() })
      expect(await refusal(call(person(other.tx, admin.id)))).toBe('busy')
      expect(await refusal(call(operator(other.tx)))).toBe('busy')
    }
    const elsewhere = await scene(sql)
    await elsewhere.coordinator.rpc(rpc, { org_id: elsewhere.org, ...args() })
    await one.commit()
    await person(other.tx, admin.id).rpc(rpc, { org_id: org, ...args() })
  }),
)

test('45 batches at once: each is made whole or refused as busy, and a friend redeems meanwhile', async () => {
  const { org, coordinator, mentor, friend } = await scene(sql)
  const { code } = await codeOf(mentor, org)
  const calls = Array.from({ length: 45 }, () =>
    refusal(coordinator.rpc('generate_codes', { org_id: org, count: 1000 })).catch(() => 'made'),
  )
  expect(await friend.rpc('redeem_code', { code })).toHaveLength(1)
  const outcomes = await Promise.all(calls)
  const made = outcomes.filter((outcome) => outcome === 'made').length
  expect(outcomes.filter((outcome) => outcome === 'busy')).toHaveLength(45 - made)
  const [stored] = await sql`
    select count(*)::int as codes, count(distinct batch_id)::int as batches
    from referral.codes where org_id = ${org} and batch_id is not null`
  expect(stored).toEqual({ codes: made * 1000, batches: made })
})

test.for(['staff', 'the operator'])('events do not wait for the rows that %s import', (who) =>
  sessions(sql, async (other, importer) => {
    const [one, two] = [await scene(sql), await scene(sql)]
    const code = text()
    // The other session stores the same text, so that the importer waits in the middle of its rows.
    await person(other.tx, two.coordinator.id).rpc('create_campaign_code', {
      org_id: two.org,
      code,
    })
    const by = who === 'staff' ? person(importer.tx, one.admin.id) : operator(importer.tx)
    const call = refusal(by.rpc('import_codes', { org_id: one.org, rows: [{ code }] }))
    await importer.blocked()
    const held = await sql`
      select from pg_locks as l join pg_stat_activity as a using (pid)
      where l.locktype = 'advisory' and l.granted and a.wait_event_type = 'Lock' and a.datname = current_database()`
    // The importer holds its organisation's turn, and no account.
    expect(held).toHaveLength(1)
    await other.commit()
    expect(await call).toBe('busy')
  }),
)

test('a purchase under way beside an import of its text: staff are refused at the next try', () =>
  sessions(sql, async (stripe, staff) => {
    const { org, coordinator } = await scene(sql)
    const code = text()
    const rows = [{ code }]
    await ingest(stripe.tx, completedSession({ customer: 'cus_9', code }))
    const first = refusal(
      person(staff.tx, coordinator.id).rpc('import_codes', { org_id: org, rows }),
    )
    await staff.blocked()
    await stripe.commit()
    expect(await first).toBe('busy')
    expect(await coordinator.rpc('import_codes', { org_id: org, rows })).toMatchObject([
      { made: 0, rows: [{ faults: [{ code: 'code_taken' }] }] },
    ])
  }))

test('staff who choose a text that an import of the operator stores: one is busy, and nobody sees a deadlock', () =>
  sessions(sql, async (staff, importer) => {
    const { org, coordinator } = await scene(sql)
    const choose = (code: string) =>
      person(staff.tx, coordinator.id).rpc('create_campaign_code', { org_id: org, code })
    const code = text()
    await choose(text())
    const imported = outcome(
      operator(importer.tx).rpc('import_codes', { org_id: org, rows: [{ code }] }),
    )
    await importer.blocked()
    const chosen = await outcome(choose(code))
    await staff.commit()
    expect([chosen, await imported].toSorted()).toEqual(['busy', 'done'])
  }))

const outcome = (call: Promise<unknown>) => refusal(call).catch(() => 'done')
