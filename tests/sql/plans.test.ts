/** The plans of the hot functions, as they run: with nothing in the tables, and with 100,000 codes. */
import postgres from 'postgres'
import { afterAll, expect, inject, test } from 'vitest'
import { fillCodes } from '../../bench/fill.ts'
import { operator } from '../support/actors.ts'
import { linkScene, redeem } from '../support/clicks.ts'
import { testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const [named] = await sql<{ database: string }[]>`select current_database() as database`
const plans: string[] = []
const admin = postgres(inject('servers').admin.replace('DATABASE', named?.database ?? ''), {
  max: 1,
  onnotice: ({ message }) => plans.push(message ?? ''),
})
afterAll(() => admin.end())

const explain = `
  load 'auto_explain';
  set local auto_explain.log_min_duration = 0;
  set local auto_explain.log_nested_statements = on;
  set local client_min_messages = log`

const scansIn = (plan: string) =>
  plan.match(/(Seq Scan|Index\w* (Only )?Scan|Bitmap \w+ Scan) .*? on \w+|Seq Scan on \w+/g) ?? []

/** How the tables are read by everything that redeeming, rotating and looking at a code run, inside the functions too. */
async function scans(): Promise<string[]> {
  plans.length = 0
  await undone(admin, async (tx) => {
    const { org, mentor, friend } = await scene(tx)
    const { code, id } = await codeOf(mentor, org)
    await tx.unsafe(explain)
    await friend.rpc('resolve_code', { code })
    await mentor.rpc('get_active_code', { org_id: org })
    await mentor.rpc('find_code', { code })
    await friend.rpc('validate_code', { code })
    for (const _ of ['first', 'again']) await friend.rpc('redeem_code', { code })
    await friend.rpc('has_redeemed', { code })
    await friend.rpc('my_redemption', { org_id: org })
    await mentor.rpc('my_referrals', { org_id: org })
    await mentor.rpc('code_usage_stats', { code_id: id })
    await mentor.rpc('rotate_code', { org_id: org, grace: '1 day' })
    await mentor.rpc('code_uses', { code_ids: `{${id}}` })
    await mentor.rpc('deactivate_code', { org_id: org })
    await operator(tx).rpc('expire_codes')
  })
  return plans.flatMap(scansIn)
}

/** How the tables are read by clicks, a redemption with one, and the counts of a code that had clicks before. */
async function scansOfClicks(): Promise<string[]> {
  plans.length = 0
  await undone(admin, async (tx) => {
    const { id, code, mentor, friend, click, clicked } = await linkScene(tx)
    const click_id = await clicked()
    await tx.unsafe(explain)
    for (const _ of ['first', 'again']) await click({ click_id })
    await redeem(friend, { code, click_id })
    await mentor.rpc('code_clicks', { code_id: id })
  })
  return plans.flatMap(scansIn).filter((scan) => /click|visitor|redemptions/.test(scan))
}

test('before there are statistics, no look-up goes through an index that is for something else', async () => {
  const used = await scans()
  expect(used.length).toBeGreaterThan(30)
  expect(used.filter((scan) => scan.includes('redemptions_by_terms'))).toEqual([])
})

/** More codes would be the weaker test: the larger a table, the more an index saves. */
test('with 100,000 codes nothing reads a table of codes, members or redemptions from end to end', async () => {
  const { org, program } = await scene(admin)
  await fillCodes(admin, { org, program }, 100_000)
  await admin.unsafe(`
    insert into referral.redemptions (org_id, program_id, terms_version, code_id, referrer_id, referee_id)
    select c.org_id, c.program_id, 1, c.id, c.referrer_id, gen_random_uuid() from referral.codes as c limit 20000;
    analyze referral.redemptions`)
  const used = await scans()
  expect(used).toContainEqual(expect.stringMatching(/^Index Scan using codes_key_is_unique/))
  expect(used.filter((scan) => /Seq Scan on (codes|members|redemptions)/.test(scan))).toEqual([])
}, 300_000)

test('with 20,000 redemptions, and as little known of them as after a restore, redeeming reads few', async () => {
  await admin.unsafe(`
    delete from pg_statistic where starelid = 'referral.redemptions'::regclass;
    update pg_class set reltuples = -1, relpages = 0
    where oid = 'referral.redemptions'::regclass
      or oid in (select indexrelid from pg_index where indrelid = 'referral.redemptions'::regclass)`)
  plans.length = 0
  await undone(admin, async (tx) => {
    const { code, friend } = await linkScene(tx)
    await tx.unsafe(explain)
    await friend.rpc('redeem_code', { code })
  })
  const used = plans.flatMap(scansIn).filter((scan) => scan.includes('redemptions'))
  expect(used).toContainEqual(
    expect.stringMatching(/^Index Scan using redemptions_(one_per|by)_referee/),
  )
  expect(used.filter((scan) => scan.includes('Seq Scan'))).toEqual([])
  await admin.unsafe('analyze referral.redemptions')
}, 60_000)

test('with 100,000 codes, 20,000 redemptions, sales and events, health reads none of these from end to end', async () => {
  const [{ org } = {}] =
    await admin`select id as org from referral.organisations order by created_at desc limit 1`
  await admin.unsafe(`
    set session_replication_role = replica;
    insert into referral_private.sales
    select '', false, 'in_' || n, 'cus_' || n, false, null, null, null, array['in_' || n], 'usd', 1000, 0, 1000, null,
      now(), now() - n * interval '20 minutes', null
    from generate_series(1, 20000) as n;
    insert into referral_private.postings
    select '${org}', '', false, 'in_' || n, gen_random_uuid(), 'pending', 'usd', 100, 1, now() + interval '1 day'
    from generate_series(1, 20000, 2) as n;
    insert into referral_private.stripe_events
    select '', false, 'evt_' || n, 'invoice.paid', 'applied', now() - n * interval '20 minutes', now(), repeat('a', 64), '{}'
    from generate_series(1, 20000) as n;
    insert into referral_private.sign_up_claims
    select gen_random_uuid(), 'ABC', now() - interval '1 day' from generate_series(1, 20000);
    reset session_replication_role;
    analyze referral_private.sales, referral_private.postings, referral_private.stripe_events,
      referral_private.sign_up_claims`)
  plans.length = 0
  await undone(admin, async (tx) => {
    await tx.unsafe(explain)
    for (const args of [{}, { org_id: org }]) await operator(tx).rpc('health', args)
  })
  const used = plans.flatMap(scansIn)
  for (const index of ['sales_by_time', 'codes_by_organisation', 'members_active_admins'])
    expect(plans.join('\n')).toContain(index)
  const large =
    /Seq Scan on (codes|members|redemptions|sales|postings|stripe_events|sign_up_claims)/
  // Whether there is a redemption at all: one row is read.
  expect(used.filter((scan) => large.test(scan))).toEqual(['Seq Scan on redemptions'])
}, 300_000)

test('with a year of clicks, those of the days in question are read, by an index', async () => {
  await admin.unsafe(`
    select referral_private.make_month('referral_private.clicks', date_trunc('month', now() at time zone 'utc') - n * interval '1 month')
    from generate_series(-2, 12) as n;
    insert into referral_private.clicks (org_id, code_id, click_id, clicked_at, counted, platform)
    select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now() - n * interval '30 minutes', true, 'web'
    from generate_series(1, 16000) as n;
    insert into referral_private.visitors (org_id, visitor, day, clicks)
    select gen_random_uuid(), sha256(n::text::bytea), now(), 1 from generate_series(1, 10000) as n;
    insert into referral_private.click_days (org_id, code_id, day, platform, channel, clicks, stored)
    select c.org_id, c.id, now()::date - n, 'web', '', 1, 1
    from (select * from referral.codes limit 100) as c, generate_series(1, 100) as n;
    analyze referral_private.clicks, referral_private.visitors, referral_private.click_days`)
  const [{ months } = { months: [] }] = await admin<{ months: string[] }[]>`
    select array(
      select distinct to_char(now() at time zone 'utc' - n * interval '1 day', '"clicks_"YYYY_MM')
      from generate_series(0, 30) as n) as months`
  const used = await scansOfClicks()
  expect(used.filter((scan) => scan.includes('Seq Scan'))).toEqual([])
  const read = new Set(
    used.flatMap((scan) => scan.match(/clicks_\d{4}_\d\d$|clicks_default$/g) ?? []),
  )
  expect([...read].sort()).toEqual(months.sort())
}, 300_000)
