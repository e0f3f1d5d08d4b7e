/** The matrix of calls: every RPC, with arguments about the first organisation of the stage, and what comes of it. */
import { refusal } from './actors.ts'
import {
  type Answers,
  adminOnly,
  all,
  earnerAndAdmins,
  everybody,
  hiddenFromOthers,
  operatorOnly,
  referrerAndStaff,
  signedIn,
  staffOnly,
  to,
} from './answers.ts'
import { type Caller, paymentOf, type Stage } from './stage.ts'

export type Call = {
  args: (stage: Stage) => Record<string, unknown>
  answers: Answers
  /** The rows that a caller is shown, as far as they say whose they are. */
  rows?: (stage: Stage, caller: Caller) => object[]
}

/** What a call is answered, as the matrix says it. */
export async function answerOf(call: Promise<object[]>): Promise<string> {
  const rows = await call.catch(() => null)
  if (rows) return rows.length ? 'ok' : 'none'
  const error = await refusal(call)
  return error === '42501' ? 'denied' : error
}

const org = ({ org }: Stage) => ({ org_id: org })
const ofMentor = ({ org, mentor }: Stage) => ({ org_id: org, referrer_id: mentor.id })
const earningsOfMentor = ({ org, mentor }: Stage) => ({ org_id: org, earner_id: mentor.id })
const member = ({ org, mentor }: Stage) => ({ org_id: org, user_id: mentor.id })
const byId = ({ codeId }: Stage) => ({ code_id: codeId })
const byText = ({ code }: Stage) => ({ code })
const decision = ({ redemption }: Stage) => ({ redemption_id: redemption })
const nothing = () => ({})

const applied = () => [{ status: 'applied' }]
const theCode = ({ codeId, org }: Stage) => [{ id: codeId, org_id: org }]
const theRedemption = ({ redemption, org }: Stage) => [{ id: redemption, org_id: org }]

/** Owners see what comes of their code; to others there is none. */
const ofTheCode: Answers = {
  ...hiddenFromOthers('code_not_found'),
  guest: 'anonymous_user',
  referrer: 'ok',
}

export const calls: Record<string, Call> = {
  add_member: {
    args: ({ org }) => ({ org_id: org, user_id: crypto.randomUUID() }),
    answers: staffOnly,
  },
  allow_word: {
    args: ({ org }) => ({ org_id: org, word: 'cock' }),
    answers: operatorOnly,
    rows: () => [{ allow_word: ['COCK'] }],
  },
  code_clicks: { args: byId, answers: ofTheCode, rows: () => [{ clicks: 1 }] },
  code_usage_stats: {
    args: byId,
    answers: ofTheCode,
    rows: ({ friend }, caller) => [
      { total_uses: 1n, recent_users: caller === 'referrer' ? null : [friend.id] },
    ],
  },
  code_uses: {
    args: ({ codeId, there }) => ({ code_ids: `{${codeId},${there.codeId}}` }),
    answers: { ...signedIn, operator: 'ok', ...to('none', 'stranger', 'referee') },
    rows: ({ codeId, there }, caller) => {
      const [ofHere, ofThere] = [{ code_id: codeId }, { code_id: there.codeId }]
      if (caller === 'elsewhere') return [ofThere]
      return caller === 'referrer' || caller === 'operator' ? [ofHere, ofThere] : [ofHere]
    },
  },
  confirm_redemption: { args: decision, answers: hiddenFromOthers('redemption_not_found') },
  count_parked_events: {
    args: nothing,
    answers: operatorOnly,
    rows: () => [{ type: 'invoice.paid', api_version: '2031-01-01.future', events: 1n }],
  },
  create_campaign_code: { args: org, answers: staffOnly },
  create_code: {
    args: ofMentor,
    answers: {
      ...referrerAndStaff,
      ...to('active_code_exists', 'referrer', 'coordinator', 'admin', 'operator'),
    },
  },
  create_organisation: {
    args: () => ({ name: 'New', slug: 'new', admin_id: crypto.randomUUID() }),
    answers: operatorOnly,
  },
  create_program: {
    args: ({ org }) => ({ org_id: org, key: 'new', name: 'New' }),
    answers: adminOnly,
  },
  deactivate_code: { args: ofMentor, answers: referrerAndStaff, rows: theCode },
  deactivate_member: { args: member, answers: staffOnly },
  end_code: { args: byId, answers: hiddenFromOthers('code_not_found') },
  expire_codes: { args: nothing, answers: operatorOnly },
  expire_redemptions: { args: nothing, answers: operatorOnly },
  explain_commission: {
    args: ({ org, saleNumber }) => ({ org_id: org, sale_number: saleNumber }),
    answers: { ...signedIn, operator: 'ok', ...to('none', 'stranger', 'coordinator', 'elsewhere') },
    rows: ({ mentor, friend, program, sale, saleNumber }, caller) => {
      const isEarner = caller === 'referrer' || caller === 'referee'
      const of = {
        ...{ sale_number: BigInt(saleNumber), sale_id: isEarner ? null : sale.here },
        ...{ livemode: true, program_id: program },
      }
      const commission = { ...of, earner_id: mentor.id, kind: 'pending', amount: 100n }
      const reward = { ...of, earner_id: friend.id, kind: 'reward_pending', amount: 300n }
      if (caller === 'referrer') return [commission]
      return caller === 'referee' ? [reward] : [commission, reward]
    },
  },
  find_code: {
    args: byText,
    answers: {
      ...all('none'),
      ...to('ok', 'referrer', 'coordinator', 'admin', 'operator'),
      anon: 'denied',
    },
    rows: theCode,
  },
  forfeit_from: {
    args: ({ org, mentor }) => ({ org_id: org, member_id: mentor.id }),
    answers: staffOnly,
    rows: ({ mentor, org }) => [{ org_id: org, kind: 'forfeit', member_id: mentor.id }],
  },
  purge_rate_limits: { args: nothing, answers: operatorOnly },
  purge_sign_up_claims: { args: nothing, answers: operatorOnly },
  generate_codes: { args: ({ org }) => ({ org_id: org, count: 1 }), answers: staffOnly },
  get_active_code: { args: ofMentor, answers: referrerAndStaff, rows: theCode },
  get_or_create_code: { args: org, answers: signedIn, rows: ({ org }) => [{ org_id: org }] },
  has_redeemed: {
    args: byText,
    answers: signedIn,
    rows: (_, caller) => [{ has_redeemed: caller === 'referee' }],
  },
  health: {
    args: org,
    answers: adminOnly,
    rows: () =>
      ['destinations', 'program', 'admin', 'codes', 'link_host', 'stripe_account']
        .concat(['pending_past_window', 'unattributed'])
        .map((name) => ({ name, ok: name !== 'destinations' })),
  },
  import_codes: {
    args: ({ org }) => ({ org_id: org, rows: [{ code: 'IMPORTED' }] }),
    answers: staffOnly,
  },
  ingest_stripe_event: { args: ({ event }) => ({ event }), answers: operatorOnly, rows: applied },
  installed_version: { args: nothing, answers: operatorOnly },
  link_site: { args: () => ({ host: 'go.example.org' }), answers: everybody },
  list_changes: {
    args: ({ org, forfeit }) => ({ org_id: org, subject_id: forfeit }),
    answers: adminOnly,
    rows: ({ forfeit }) => [{ subject: 'decision', subject_id: forfeit, actor_id: null }],
  },
  list_codes: {
    args: ofMentor,
    answers: {
      ...all('none'),
      ...to('ok', 'referrer', 'coordinator', 'admin', 'operator'),
      anon: 'denied',
      guest: 'anonymous_user',
    },
    rows: theCode,
  },
  list_parked_events: {
    args: nothing,
    answers: operatorOnly,
    rows: ({ parked }) => [{ event_id: parked.id }],
  },
  list_unattributed: {
    args: nothing,
    answers: { ...operatorOnly, operator: 'none' },
  },
  maintain_clicks: { args: nothing, answers: operatorOnly },
  maintain_events: { args: nothing, answers: operatorOnly },
  my_earnings: {
    args: earningsOfMentor,
    answers: earnerAndAdmins,
    rows: () => [
      { currency: 'usd', livemode: false, pending: 50_000n, available: 0n, reward_pending: 0n },
      { currency: 'usd', livemode: true, pending: 300n, available: 0n, reward_pending: 0n },
    ],
  },
  my_memberships: {
    args: nothing,
    answers: { ...signedIn, ...to('none', 'stranger', 'referee') },
    rows: ({ org, there }, caller) => {
      const own = { referrer: [org, there.org].sort(), elsewhere: [there.org] }
      return (own[caller as keyof typeof own] ?? [org]).map((org_id) => ({ org_id }))
    },
  },
  my_redemption: {
    args: org,
    answers: {
      ...signedIn,
      ...to('none', 'stranger', 'referrer', 'coordinator', 'elsewhere', 'admin'),
    },
    rows: ({ redemption }) => [{ redemption_id: redemption }],
  },
  my_referrals: {
    args: org,
    answers: { ...signedIn, ...to('none', 'stranger', 'referee', 'elsewhere', 'admin') },
    rows: ({ redemption, buyersRedemption }, caller) => [
      { redemption_id: caller === 'referrer' ? redemption : buyersRedemption },
    ],
  },
  my_statement: {
    args: (s) => ({ ...earningsOfMentor(s), livemode: true }),
    answers: earnerAndAdmins,
    rows: ({ sale, org, saleNumber }, caller) => {
      const from = { from_kind: 'expense', to_kind: 'pending' }
      const id = (of: string) => (caller === 'referrer' ? null : of)
      return [
        { ...from, amount: 200n, sale_id: id(`play:${org}:P1`) },
        { ...from, amount: 100n, sale_id: id(sale.here), sale_number: BigInt(saleNumber) },
      ]
    },
  },
  org_liabilities: {
    args: (s) => ({ ...org(s), livemode: true }),
    answers: adminOnly,
    rows: ({ mentor, coordinator, friend, buyer }) => [
      { earner_id: mentor.id, livemode: true, pending: 300n, reward_pending: 0n },
      { earner_id: coordinator.id, livemode: true, pending: 400n, reward_pending: 0n },
      { earner_id: friend.id, livemode: true, pending: 0n, reward_pending: 300n },
      { earner_id: buyer.id, livemode: true, pending: 0n, reward_pending: 300n },
    ],
  },
  reactivate_code: { args: byId, answers: hiddenFromOthers('code_not_found') },
  reactivate_member: { args: member, answers: staffOnly },
  record_click: {
    args: ({ code }) => ({ code, click_id: crypto.randomUUID() }),
    answers: operatorOnly,
  },
  record_payment: { args: (stage) => paymentOf(stage, 'P2'), answers: operatorOnly, rows: applied },
  record_refund: {
    args: ({ org }) => ({
      org_id: org,
      provider: 'play',
      refund_ref: 'R1',
      payment_ref: 'P1',
      amount: 1000,
    }),
    answers: operatorOnly,
  },
  record_refund_reversed: {
    args: ({ org }) => ({ org_id: org, provider: 'play', refund_ref: 'R1' }),
    answers: operatorOnly,
  },
  redeem_code: { args: byText, answers: { ...signedIn, referrer: 'self_referral' } },
  redeem_sign_up_code: {
    args: nothing,
    answers: { ...all('none'), ...to('denied', 'anon', 'operator'), guest: 'anonymous_user' },
  },
  reject_redemption: { args: decision, answers: hiddenFromOthers('redemption_not_found') },
  reject_referral: {
    args: ({ org, program, friend }) => ({
      org_id: org,
      program_id: program,
      person_id: friend.id,
    }),
    answers: staffOnly,
    rows: ({ friend, org }) => [{ org_id: org, kind: 'reject', person_id: friend.id }],
  },
  recognise_users: { args: nothing, answers: operatorOnly },
  release_due_commissions: { args: nothing, answers: operatorOnly },
  run_maintenance: { args: nothing, answers: operatorOnly },
  resolve_code: { args: byText, answers: everybody },
  resolve_parked_event: {
    args: ({ parked }) => ({ event: parked }),
    answers: operatorOnly,
    rows: applied,
  },
  rotate_code: { args: ofMentor, answers: referrerAndStaff },
  set_member_role: { args: (s) => ({ ...member(s), role: 'coordinator' }), answers: adminOnly },
  set_my_name: {
    args: ({ org }) => ({ org_id: org, display_name: 'Me' }),
    answers: { ...signedIn, ...to('not_a_member', 'stranger', 'referee', 'elsewhere') },
  },
  settle_stripe_events: { args: nothing, answers: operatorOnly },
  suspend_code: { args: byId, answers: hiddenFromOthers('code_not_found') },
  update_code: {
    args: (s) => ({ ...byId(s), changes: { description: 'New' } }),
    answers: hiddenFromOthers('code_not_found'),
  },
  update_organisation: {
    args: ({ org }) => ({ org_id: org, changes: { name: 'New' } }),
    answers: adminOnly,
  },
  update_program: {
    args: ({ program }) => ({ program_id: program, changes: { name: 'New' } }),
    answers: {
      ...hiddenFromOthers('program_not_found'),
      ...to('not_allowed', 'referrer', 'coordinator'),
    },
  },
  usage_for_code: { args: byId, answers: hiddenFromOthers('code_not_found'), rows: theRedemption },
  usage_for_user: {
    args: ({ org, friend }) => ({ org_id: org, user_id: friend.id }),
    answers: staffOnly,
    rows: theRedemption,
  },
  verify_ledger: { args: nothing, answers: operatorOnly, rows: () => [{ faults: [] }] },
  validate_code: {
    args: byText,
    answers: { ...everybody, referee: 'already_redeemed', referrer: 'self_referral' },
  },
  withdraw_decision: {
    args: ({ forfeit }) => ({ decision_id: forfeit }),
    answers: { ...hiddenFromOthers('decision_not_found'), coordinator: 'not_allowed' },
    rows: ({ forfeit, org }) => [{ id: forfeit, org_id: org }],
  },
}
