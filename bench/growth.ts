import postgres from 'postgres'
import type { Postgres } from '../scripts/stack/postgres.ts'
import { fillCrowd } from './crowd.ts'
import { code } from './fill.ts'
import { type Comparison, compare } from './measure.ts'
import { as, filled, onServer } from './scene.ts'

/** Rows in each table that grows; `GROWTH_ROWS` says how many. Beside them, a hundredth. */
const rows = Number(process.env.GROWTH_ROWS ?? 1_000_000)

const somebody = "md5('user' || :n)::uuid"
/** Every second code is active. */
const active = code('(:n + 1) / 2 * 2')
const mentor = 'bench.mentor_id()'
const org = 'bench.org_id()'
const admin = 'bench.admin_id()'
const page = (who: string, call: string) => as(who, `(select count(*) from referral.${call})`)

/** The hot calls. They are of what is asked for, or of a page, and not of how much there is. Jobs find what is due. */
const hot: Record<string, string> = {
  resolve_code: `select * from referral.resolve_code(${active})`,
  validate_code: page(admin, `validate_code(${active})`),
  get_active_code: page(somebody, `get_active_code(${org})`),
  redeem_code: page('gen_random_uuid()', `redeem_code(${active})`),
  record_click: `select referral.record_click(${active}, gen_random_uuid())`,
  list_codes: page(admin, `list_codes(${org})`),
  'list_codes of a referrer': page(somebody, `list_codes(${org})`),
  my_memberships: page(somebody, 'my_memberships()'),
  my_referrals: page(mentor, `my_referrals(${org})`),
  'usage_for_code, a later page': page(
    admin,
    `usage_for_code(bench.code_id(), md5('redemption' || ((:n + 1) / 2 * 2 - 1))::uuid)`,
  ),
  usage_for_user: page(admin, `usage_for_user(${org}, md5('referee' || :n)::uuid)`),
  code_usage_stats: page(admin, `code_usage_stats(md5('code' || ((:n + 1) / 2 * 2))::uuid)`),
  my_earnings: page(somebody, `my_earnings(${org})`),
  my_statement: page(mentor, `my_statement(${org})`),
  explain_commission: page(admin, `explain_commission(${org}, sale_id => 'in_' || :n)`),
  org_liabilities: page(admin, `org_liabilities(${org})`),
  list_changes: page(admin, `list_changes(${org})`),
  list_unattributed: 'select count(*) from referral.list_unattributed(page_size => 10)',
  release_due_commissions: "select bench.undone('select referral.release_due_commissions(1)')",
  settle_stripe_events: "select bench.undone('select referral.settle_stripe_events()')",
  expire_codes: 'select referral.expire_codes()',
  expire_redemptions: 'select referral.expire_redemptions()',
  purge_sign_up_claims: 'select referral.purge_sign_up_claims()',
  purge_rate_limits: 'select referral.purge_rate_limits()',
  health: page(admin, `health(${org})`),
}

/** Each hot call with many rows in all tables beside a hundredth of them. */
export const growth = () =>
  onServer<Comparison>(async function* (server) {
    const few = Math.max(rows / 100, 100)
    const [small, large] = [await grown(server, 'few', few), await grown(server, 'many', rows)]
    for (const [name, statement] of Object.entries(hot)) {
      const workload = (url: string, upTo: number) => ({ url, statement, upTo, connections: 1 })
      yield compare(
        `${name} with ${rows.toLocaleString('en')} rows beside ${few.toLocaleString('en')}`,
        0.85,
        workload(large, rows),
        workload(small, few),
      )
    }
  })

/** A database with so many rows in each table that grows, analysed. Gives its address. */
async function grown(server: Postgres, name: string, rows: number): Promise<string> {
  const url = await filled(server, name, 0)
  const sql = postgres(server.url(name, 'supabase_admin'), { max: 1, onnotice: () => {} })
  try {
    const [place] = await sql`
      select i.org_id as org, i.program_id as program, a.user_id as admin, gen_random_uuid() as mentor
      from bench.ids as i, bench.admins as a`
    await sql.unsafe(
      `set role postgres; select referral.add_member('${place?.org}', '${place?.mentor}')`,
    )
    const [made] = await sql`
      select id from referral.create_code(${place?.org}, ${place?.mentor})`
    await sql.unsafe(`
      reset role;
      create function bench.mentor_id() returns uuid language sql immutable as $$ select '${place?.mentor}'::uuid $$;
      create function bench.undone(statement text) returns void language plpgsql as $$
      begin
        execute statement;
        raise sqlstate 'UNDO1';
      exception when sqlstate 'UNDO1' then null;
      end $$;
      create function bench.code_id() returns uuid language sql immutable as $$ select '${made?.id}'::uuid $$;
      insert into referral_private.ledger_accounts (org_id, livemode, earner_id, kind, currency)
      values ('${place?.org}', false, null, 'expense', 'usd'), ('${place?.org}', false, '${place?.mentor}', 'pending', 'usd')`)
    await fillCrowd(sql, rows, {
      org: String(place?.org),
      program: String(place?.program),
      codeId: String(made?.id),
      mentor: { id: String(place?.mentor) },
      admin: { id: String(place?.admin) },
    })
    await sql.unsafe('vacuum (analyze, freeze)')
  } finally {
    await sql.end()
  }
  return url
}
