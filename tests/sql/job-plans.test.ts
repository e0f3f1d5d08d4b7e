/** The plans of the jobs that work in batches, with the statistics of tables that were filled and emptied. */
import postgres from 'postgres'
import { afterAll, expect, inject, test } from 'vitest'
import { operator } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { scene } from '../support/scene.ts'

const sql = await testDatabase()
const [named] = await sql<{ database: string }[]>`select current_database() as database`
const plans: string[] = []
const admin = postgres(inject('servers').admin.replace('DATABASE', named?.database ?? ''), {
  max: 1,
  onnotice: ({ message }) => plans.push(message ?? ''),
})
afterAll(() => admin.end())

const due = 3000
/** What each job finds. */
const backlogs = {
  maintain_clicks: (org: string) => `
    insert into referral_private.clicks_default (org_id, code_id, click_id, clicked_at, counted, platform)
    select '${org}', gen_random_uuid(), gen_random_uuid(), '2020-01-01', true, 'web' from generate_series(1, ${due});
    insert into referral_private.visitors (org_id, visitor, day, clicks)
    select '${org}', uuid_send(gen_random_uuid()), '2020-01-01', 1 from generate_series(1, ${due})`,
  expire_codes: (org: string, program: string) => `
    insert into referral.codes (org_id, program_id, code, referrer_id, expires_at)
    select '${org}', '${program}', 'CODE' || n, gen_random_uuid(), '2020-01-01' from generate_series(1, ${due}) as n`,
  expire_redemptions: (org: string, program: string) => `
    insert into referral.redemptions
      (org_id, program_id, terms_version, code_id, referrer_id, referee_id, redeemed_at)
    select '${org}', '${program}', 1, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), '2020-01-01'
    from generate_series(1, ${due})`,
  purge_rate_limits: (org: string) => `
    insert into referral_private.rate_limit_buckets (org_id, bucket, hour, redemptions)
    select '${org}', 'user:' || n, '2020-01-01', 1 from generate_series(1, ${due}) as n`,
  purge_sign_up_claims: () => `
    insert into referral_private.sign_up_claims (user_id, code, claimed_at)
    select gen_random_uuid(), 'ABC', '2020-01-01' from generate_series(1, ${due})`,
  'purge_sign_up_claims of reservations': (org: string) => `
    insert into referral_private.sign_up_reservations (user_id, org_id, chain_id, expires_at)
    select gen_random_uuid(), '${org}', gen_random_uuid(), '2020-01-01' from generate_series(1, ${due})`,
}

type Node = Record<string, unknown> & { Plans?: Node[] }
/** The nodes of a plan, each with the number of rows that it looked at. */
const rowsOf = (node: Node): [string, number][] => {
  const rows = ['Actual Rows', 'Rows Removed by Filter', 'Rows Removed by Join Filter']
    .map((name) => Number(node[name] ?? 0) * Number(node['Actual Loops']))
    .reduce((sum, count) => sum + count)
  const what = [node['Node Type'], node['Index Name'] ?? node['Relation Name'] ?? ''].join(' ')
  return [[what, rows], ...(node.Plans ?? []).flatMap(rowsOf)]
}

test.for(Object.entries(backlogs))('%s reads no table once per row', ([name, backlog]) =>
  undone(admin, async (tx) => {
    const job = name.replace(/ .*/, '')
    const { org, program } = await scene(tx)
    await tx.unsafe(`
      set local session_replication_role = replica; load 'auto_explain';
      set local auto_explain.log_min_duration = 0; set local auto_explain.log_nested_statements = on;
      set local auto_explain.log_analyze = on; set local auto_explain.log_format = json;
      set local client_min_messages = log;
      savepoint filled; ${backlog(org, program)}; rollback to savepoint filled;
      analyze referral_private.clicks_default, referral_private.visitors, referral.codes, referral.redemptions,
        referral_private.rate_limit_buckets, referral_private.sign_up_claims, referral_private.sign_up_reservations`)
    await operator(tx).rpc(job)
    await tx.unsafe(backlog(org, program))
    plans.length = 0
    await operator(tx).rpc(job)
    const read = plans.flatMap((plan) => rowsOf(JSON.parse(plan.slice(plan.indexOf('{'))).Plan))
    expect(read.some(([, rows]) => rows >= 1000)).toBe(true)
    expect(read.filter(([, rows]) => rows > due)).toEqual([])
  }),
)
