/**
 * Every RPC, called by every kind of caller for one organisation: what it answers, or the error. A new function fails
 * until it is listed. Each call stands alone: what it changed is undone.
 */
import { expect, test } from 'vitest'
import { type Actor, anonymous, operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()

const callers = [
  'anon',
  'guest',
  'stranger',
  'referee',
  'referrer',
  'coordinator',
  'elsewhere',
  'admin',
  'operator',
] as const
type Caller = (typeof callers)[number]

/** An organisation in which everything exists that a call could be about, and everybody who could call. */
async function stage(tx: Sql) {
  const here = await scene(tx)
  const there = await scene(tx)
  const changes = { link_origin: 'https://go.example.org' }
  await operator(tx).rpc('update_organisation', { org_id: here.org, changes })
  const { id, code } = await codeOf(here.mentor, here.org)
  const click = { code, click_id: crypto.randomUUID() }
  await operator(tx).rpc('record_click', click)
  const [redeemed] = await here.friend.rpc('redeem_code', { ...click, provenance: 'link' })
  const actors: Record<Caller, Actor> = {
    anon: anonymous(tx),
    guest: person(tx, crypto.randomUUID(), { is_anonymous: true }),
    stranger: person(tx),
    referee: here.friend,
    referrer: here.mentor,
    coordinator: here.coordinator,
    elsewhere: there.coordinator,
    admin: here.admin,
    operator: operator(tx),
  }
  return { ...here, actors, codeId: id, code, redemption: String(redeemed?.redemption_id) }
}
type Stage = Awaited<ReturnType<typeof stage>>

const org = ({ org }: Stage) => ({ org_id: org })
const ofMentor = ({ org, mentor }: Stage) => ({ org_id: org, referrer_id: mentor.id })
const member = ({ org, mentor }: Stage) => ({ org_id: org, user_id: mentor.id })
const byId = ({ codeId }: Stage) => ({ code_id: codeId })
const byText = ({ code }: Stage) => ({ code })
const decision = ({ redemption }: Stage) => ({ redemption_id: redemption })
const nothing = () => ({})

/** Arguments, and the answers in the order of `callers`; `denied` is without EXECUTE, `none` no row. */
const calls: Record<string, [(stage: Stage) => Record<string, unknown>, string]> = {
  add_member: [
    ({ org }) => ({ org_id: org, user_id: crypto.randomUUID() }),
    'denied anonymous_user not_a_member not_a_member not_allowed ok not_a_member ok ok',
  ],
  code_clicks: [
    byId,
    'denied anonymous_user code_not_found code_not_found ok ok code_not_found ok ok',
  ],
  code_usage_stats: [
    byId,
    'denied anonymous_user code_not_found code_not_found ok ok code_not_found ok ok',
  ],
  code_uses: [
    ({ codeId }) => ({ code_ids: `{${codeId}}` }),
    'denied anonymous_user none none ok ok none ok ok',
  ],
  confirm_redemption: [
    decision,
    'denied redemption_not_found redemption_not_found redemption_not_found redemption_not_found ok redemption_not_found ok ok',
  ],
  create_campaign_code: [
    org,
    'denied anonymous_user not_a_member not_a_member not_allowed ok not_a_member ok ok',
  ],
  create_code: [
    ofMentor,
    'denied anonymous_user not_a_member not_a_member active_code_exists active_code_exists not_a_member active_code_exists active_code_exists',
  ],
  create_organisation: [
    () => ({ name: 'New', slug: 'new', admin_id: crypto.randomUUID() }),
    'denied denied denied denied denied denied denied denied ok',
  ],
  create_program: [
    ({ org }) => ({ org_id: org, key: 'new', name: 'New' }),
    'denied anonymous_user not_a_member not_a_member not_allowed not_allowed not_a_member ok ok',
  ],
  deactivate_code: [
    ofMentor,
    'denied anonymous_user not_a_member not_a_member ok ok not_a_member ok ok',
  ],
  deactivate_member: [
    member,
    'denied anonymous_user not_a_member not_a_member not_allowed ok not_a_member ok ok',
  ],
  end_code: [
    byId,
    'denied code_not_found code_not_found code_not_found code_not_found ok code_not_found ok ok',
  ],
  explain_commission: [
    ({ org }) => ({ org_id: org, sale_id: 'in_none' }),
    'denied anonymous_user none none none none none none none',
  ],
  link_site: [() => ({ host: 'go.example.org' }), 'ok ok ok ok ok ok ok ok ok'],
  list_parked_events: [nothing, 'denied denied denied denied denied denied denied denied none'],
  maintain_clicks: [nothing, 'denied denied denied denied denied denied denied denied ok'],
  my_earnings: [
    ({ org, mentor }) => ({ org_id: org, earner_id: mentor.id }),
    'denied anonymous_user not_a_member not_a_member none none not_a_member none none',
  ],
  my_statement: [
    ({ org, mentor }) => ({ org_id: org, earner_id: mentor.id }),
    'denied anonymous_user not_a_member not_a_member none none not_a_member none none',
  ],
  org_liabilities: [
    org,
    'denied anonymous_user not_a_member not_a_member not_allowed not_allowed not_a_member none none',
  ],
  record_click: [
    ({ code }) => ({ code, click_id: crypto.randomUUID() }),
    'denied denied denied denied denied denied denied denied ok',
  ],
  record_payment: [
    ({ org, friend }) => ({
      org_id: org,
      provider: 'play',
      payment_ref: '1',
      referee_id: friend.id,
      amount: 1,
      currency: 'usd',
      paid_at: '2026-01-01',
    }),
    'denied denied denied denied denied denied denied denied ok',
  ],
  record_refund: [
    ({ org }) => ({ org_id: org, provider: 'play', refund_ref: '1', payment_ref: '1', amount: 1 }),
    'denied denied denied denied denied denied denied denied ok',
  ],
  record_refund_reversed: [
    ({ org }) => ({ org_id: org, provider: 'play', refund_ref: '1' }),
    'denied denied denied denied denied denied denied denied ok',
  ],
  release_due_commissions: [nothing, 'denied denied denied denied denied denied denied denied ok'],
  resolve_parked_event: [
    () => ({ event: {} }),
    'denied denied denied denied denied denied denied denied invalid_event',
  ],
  expire_codes: [nothing, 'denied denied denied denied denied denied denied denied ok'],
  expire_redemptions: [nothing, 'denied denied denied denied denied denied denied denied ok'],
  find_code: [byText, 'denied none none none ok ok none ok ok'],
  purge_rate_limits: [nothing, 'denied denied denied denied denied denied denied denied ok'],
  purge_sign_up_claims: [nothing, 'denied denied denied denied denied denied denied denied ok'],
  generate_codes: [
    ({ org }) => ({ org_id: org, count: 1 }),
    'denied anonymous_user not_a_member not_a_member not_allowed ok not_a_member ok ok',
  ],
  get_active_code: [
    ofMentor,
    'denied anonymous_user not_a_member not_a_member ok ok not_a_member ok ok',
  ],
  get_or_create_code: [org, 'denied anonymous_user ok ok ok ok ok ok denied'],
  has_redeemed: [byText, 'denied anonymous_user ok ok ok ok ok ok denied'],
  import_codes: [
    ({ org }) => ({ org_id: org, rows: [{ code: 'IMPORTED' }] }),
    'denied anonymous_user not_a_member not_a_member not_allowed ok not_a_member ok ok',
  ],
  ingest_stripe_event: [
    () => ({ event: {} }),
    'denied denied denied denied denied denied denied denied invalid_event',
  ],
  my_redemption: [org, 'denied anonymous_user none ok none none none none denied'],
  my_referrals: [org, 'denied anonymous_user none none ok none none none denied'],
  reactivate_code: [
    byId,
    'denied code_not_found code_not_found code_not_found code_not_found ok code_not_found ok ok',
  ],
  reactivate_member: [
    member,
    'denied anonymous_user not_a_member not_a_member not_allowed ok not_a_member ok ok',
  ],
  redeem_code: [byText, 'denied anonymous_user ok ok self_referral ok ok ok denied'],
  redeem_sign_up_code: [nothing, 'denied anonymous_user none none none none none none denied'],
  reject_redemption: [
    decision,
    'denied redemption_not_found redemption_not_found redemption_not_found redemption_not_found ok redemption_not_found ok ok',
  ],
  resolve_code: [byText, 'ok ok ok ok ok ok ok ok ok'],
  rotate_code: [
    ofMentor,
    'denied anonymous_user not_a_member not_a_member ok ok not_a_member ok ok',
  ],
  set_member_role: [
    (s) => ({ ...member(s), role: 'coordinator' }),
    'denied anonymous_user not_a_member not_a_member not_allowed not_allowed not_a_member ok ok',
  ],
  set_my_name: [
    ({ org }) => ({ org_id: org, display_name: 'Me' }),
    'denied anonymous_user not_a_member not_a_member ok ok not_a_member ok denied',
  ],
  suspend_code: [
    byId,
    'denied code_not_found code_not_found code_not_found code_not_found ok code_not_found ok ok',
  ],
  update_code: [
    (s) => ({ ...byId(s), changes: { description: 'New' } }),
    'denied code_not_found code_not_found code_not_found code_not_found ok code_not_found ok ok',
  ],
  update_organisation: [
    ({ org }) => ({ org_id: org, changes: { name: 'New' } }),
    'denied anonymous_user not_a_member not_a_member not_allowed not_allowed not_a_member ok ok',
  ],
  update_program: [
    ({ program }) => ({ program_id: program, changes: { name: 'New' } }),
    'denied program_not_found program_not_found program_not_found not_allowed not_allowed program_not_found ok ok',
  ],
  usage_for_code: [
    byId,
    'denied code_not_found code_not_found code_not_found code_not_found ok code_not_found ok ok',
  ],
  usage_for_user: [
    ({ org, friend }) => ({ org_id: org, user_id: friend.id }),
    'denied anonymous_user not_a_member not_a_member not_allowed ok not_a_member ok ok',
  ],
  validate_code: [byText, 'ok ok ok already_redeemed self_referral ok ok ok ok'],
}

test('every RPC is listed', async () => {
  const rows = await sql`
    select proname as name from pg_proc where pronamespace = 'referral'::regnamespace order by 1`
  expect(rows.map(({ name }) => name)).toEqual(Object.keys(calls).sort())
})

test.for(Object.entries(calls))('%s', ([rpc, [args, expected]]) =>
  undone(sql, async (tx) => {
    const staged = await stage(tx)
    const answers: string[] = []
    for (const caller of callers) {
      await tx`savepoint before_the_call`
      answers.push(await answer(staged.actors[caller].rpc(rpc, args(staged))))
      await tx`rollback to savepoint before_the_call`
    }
    expect(answers.join(' ')).toBe(expected)
  }),
)

async function answer(call: Promise<unknown[]>): Promise<string> {
  const rows = await call.catch(() => null)
  if (rows) return rows.length ? 'ok' : 'none'
  const error = await refusal(call)
  return error === '42501' ? 'denied' : error
}
