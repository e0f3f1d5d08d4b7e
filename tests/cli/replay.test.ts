/** `referbase replay`, on a database in which every story was told, records and decisions among them. */
import { expect, inject, test } from 'vitest'
import { compare } from '../../cli/replay/compare.ts'
import { operator } from '../support/actors.ts'
import { table as archived, month, past as pastEvent, pastMonth } from '../support/archiving.ts'
import { referbaseHere } from '../support/cli.ts'
import { testDatabase } from '../support/database.ts'
import { ingest } from '../support/ingest.ts'
import { ending, stageStory, stories } from '../support/money.ts'

const [source, target] = [await testDatabase(), await testDatabase()]
const [small, broken, empty] = [await testDatabase(), await testDatabase(), await testDatabase()]
const past = await testDatabase()
const url = async (sql: typeof source) => {
  const [row] = await sql`select current_database() as name`
  return inject('servers').postgres.replace('DATABASE', String(row?.name))
}
const replay = async (from: typeof source, to: typeof source, ...options: string[]) =>
  referbaseHere(['replay', await url(from), await url(to), ...options])
const steps = 'copying what is not derived\nreplaying events and records\ncomparing\n'

const withdraw = async (sql: typeof source, redemption: string) => {
  const [decision] = await sql`
    select id from referral.decisions where redemption_id = ${redemption}`
  await operator(sql).rpc('withdraw_decision', { decision_id: decision?.id })
}
const decisions = (sql: typeof source) => sql`
  select d.*, array_agg(p.payer_id order by p.payer_id) as payers
  from referral.decisions as d
  left join referral_private.decision_payers as p on p.org_id = d.org_id and p.decision_id = d.id
  group by d.org_id, d.id
  order by d.id`

test('facts and ledger are made anew from what is not derived, and equal the original', async () => {
  for (const story of stories) {
    const staged = await stageStory(source, story)
    for (const event of staged.events) await operator(source).rpc('ingest_stripe_event', { event })
    await operator(source).rpc('record_payment', {
      org_id: staged.org,
      provider: 'play',
      payment_ref: '1',
      referee_id: staged.friend.id,
      amount: 5000,
      currency: 'usd',
      paid_at: new Date(Date.now() - 86_400_000).toISOString(),
      options: { livemode: stories.indexOf(story) % 2 === 0 },
    })
    await ending(source, staged)
  }
  const decided =
    await source`select id, org_id, program_id, referee_id, referrer_id from referral.redemptions limit 3`
  for (const { id } of decided)
    await operator(source).rpc('reject_redemption', { redemption_id: id })
  const [, withdrawn, forfeited] = decided
  await withdraw(source, withdrawn?.id)
  await operator(source).rpc('forfeit_from', {
    org_id: forfeited?.org_id,
    member_id: forfeited?.referrer_id,
    since: '2020-01-01T00:00:00Z',
  })
  expect(await replay(source, target)).toEqual({
    code: 0,
    stdout: expect.stringMatching(
      new RegExp(`^\\d+ events and ${stories.length} records replayed, 0 differences\\n$`),
    ),
    stderr: steps,
  })
  expect(await decisions(target)).toEqual(await decisions(source))

  const states = (sql: typeof source) =>
    sql`select * from referral_private.code_states order by org_id, state_id`
  expect(await states(target)).toEqual(await states(source))
  const [trigger] = await target`
    select tgenabled as enabled from pg_trigger where tgname = 'code_states_are_append_only'`
  expect(trigger?.enabled).toBe('A')
  // A new state comes after those that were copied.
  const [code] = await target`select id from referral.codes where status = 'active' limit 1`
  await operator(target).rpc('suspend_code', { code_id: code?.id })
  const [last] = await target`
    select code_id, status from referral_private.code_states order by state_id desc limit 1`
  expect(last).toEqual({ code_id: code?.id, status: 'suspended' })

  await source`update referral_private.postings set amount = amount + 1 where amount = 375`
  const differences = await compare(source, target)
  expect(differences.length).toBeGreaterThan(1)
  expect(
    differences.filter((line) => !/^only in the (source:.* 376|target:.* 375)$/.test(line)),
  ).toEqual([])
}, 120_000)

test('a difference is named, and the exit code says so', async () => {
  const [story] = stories
  if (!story) throw new Error('there are stories')
  const staged = await stageStory(small, story)
  for (const event of staged.events) await operator(small).rpc('ingest_stripe_event', { event })
  await ending(small, staged)
  await small`
    update referral.redemptions set confirmed_at = confirmed_at + interval '1 day'`
  const { code, stdout, stderr } = await replay(small, broken, '--json')
  expect(code).toBe(1)
  const { events, records, differences } = JSON.parse(stdout)
  expect([events, records]).toEqual([staged.events.length, 0])
  expect(differences).toHaveLength(2)
  expect(stderr).toBe(`${steps}${differences.join('\n')}\n`)
})

test('a month that was taken out of the inbox is read from its table, and named once that is dropped', async () => {
  await pastMonth(past, 6)
  await ingest(past, pastEvent(6, 'evt_1'))
  for (let more = true; more; ) {
    const [done] = await operator(past).rpc('maintain_events', { retention: '90 days' })
    more = !done?.partitions_archived
  }
  const [whole, lacking] = [await testDatabase(), await testDatabase()]
  expect(JSON.parse((await replay(past, whole, '--json')).stdout)).toMatchObject({
    ...{ events: 1, lacking: [], differences: [] },
  })
  await past.unsafe(`drop table ${archived(6)}`)
  const { stdout, stderr } = await replay(past, lacking, '--json')
  const named = month(6).replace('_', '-')
  expect(JSON.parse(stdout)).toMatchObject({ events: 0, lacking: [named] })
  expect(stderr).toContain(`the events of ${named} are missing: their tables were dropped\n`)
})

test.for([
  ['a target that is in use', () => replay(small, broken), /^The target is not empty.\n$/],
  [
    'no URL',
    () => referbaseHere(['replay', 'db', 'db']),
    /^The source is not a URL such as postgres/,
  ],
  [
    'a server that is not there',
    () => referbaseHere(['replay', 'postgresql://postgres@127.0.0.1:1/x', 'postgresql://x@y/z']),
    /^The source cannot be reached: .*ECONNREFUSED.*\n$/,
  ],
  [
    'a database without the schema',
    async () =>
      referbaseHere(['replay', await url(small), (await url(empty)).replace(/[^/]+$/, 'postgres')]),
    /^The target has no schema of referbase. Apply its migrations first.\n$/,
  ],
] as const)('%s is refused in one sentence', async ([, command, said]) => {
  const { code, stdout, stderr } = await command()
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(said)
})
