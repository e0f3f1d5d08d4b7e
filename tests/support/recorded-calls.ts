/** Every RPC that changes something: what it puts on record, or why nothing. */
import { expect } from 'vitest'
import { operator } from './actors.ts'
import { type Change, changed, made, time } from './changes.ts'
import type { Sql } from './database.ts'
import type { Caller, Stage } from './stage.ts'

type Row = Record<string, unknown>
type Recorded = {
  args: (stage: Stage) => Row
  /** Who calls: an admin and the operator unless given. */
  by?: Caller[]
  /** What must have happened before. */
  first?: (stage: Stage, sql: Sql) => Promise<unknown>
  /** What is on record: `actor` is the caller, null for the operator, `row` the first that the call returns. */
  changes: (stage: Stage, actor: string | null, row: Row) => Change[]
}

const staff: Caller[] = ['coordinator', 'admin', 'operator']
const reason = 'spam'
const newUser = crypto.randomUUID()
const isCode: unknown = expect.stringMatching(/^[0-9A-Z-]{8,}$/)

const made_code = { status: 'active', rotation: 0, looks_like_another: false }
const ended = (actor: string | null): Record<string, [unknown, unknown]> => ({
  ...{ ended_at: [null, time], ended_by: [null, actor], reason: [null, reason] },
})
const blocked = ({ mentor }: Stage) =>
  changed('member', mentor.id, { blocked_at: [null, time], reason: [null, reason] })
const forfeit = ({ mentor }: Stage, actor: string | null, by_block: boolean) =>
  made('decision', expect.any(String), {
    ...{ kind: 'forfeit', member_id: mentor.id, since: time, by_block, reason },
    ...{ decided_by: actor, decided_at: time },
  })
const rejection = ({ program, friend }: Stage, actor: string | null) => ({
  ...{ kind: 'reject', program_id: program, person_id: friend.id, by_block: false, reason },
  ...{ decided_by: actor, decided_at: time },
})

const settings: Record<string, [before: unknown, after: unknown]> = {
  name: ['Org', 'New'],
  active: [true, false],
  web_destination: [null, 'https://example.org/in'],
  ios_destination: [null, 'https://apps.apple.com/app/id1'],
  android_destination: [null, 'https://play.google.com/store/apps/details?id=com.example.app'],
  android_package: [null, 'com.example.app'],
  ios_app_ids: [[], ['ABCDE12345.com.example.app']],
  android_fingerprints: [[], [Array(32).fill('AB').join(':')]],
  code_length: [8, 9],
  codes_per_member: [20, 21],
  max_uses_cap: [100000, 7],
  rotation_grace: ['7 days', '36:00:00'],
  redemptions_per_user: [20, 1],
  redemptions_per_address: [200, 2],
  click_window: ['30 days', '2 days'],
  clicks_per_visitor: [20, 3],
  clicks_per_code: [50000, 4],
  time_zone: ['UTC', 'Europe/Berlin'],
  refuse_look_alikes: [false, true],
}
const newSettings = Object.fromEntries(Object.entries(settings).map(([key, [, to]]) => [key, to]))

export const recordedCalls: Record<string, Recorded> = {
  add_member: {
    args: ({ org }) => ({ org_id: org, user_id: newUser, role: 'coordinator' }),
    changes: (_, actor) => [
      made('member', newUser, { role: 'coordinator', public_name: false, admitted_by: actor }),
    ],
  },
  allow_word: {
    by: ['operator'],
    args: ({ org }) => ({ org_id: org, word: 'c0ck' }),
    changes: ({ org }) => [made('allowed_word', org, { word: 'COCK' })],
  },
  confirm_redemption: {
    by: staff,
    args: ({ redemption }) => ({ redemption_id: redemption, reason }),
    changes: (stage, actor) => [
      made('decision', expect.any(String), {
        ...{ ...rejection(stage, actor), kind: 'confirm', redemption_id: stage.redemption },
      }),
    ],
  },
  create_campaign_code: {
    by: staff,
    args: ({ org, mentor }) => ({
      ...{ org_id: org, code: 'Fair', beneficiary_id: mentor.id, max_uses: 5, description: 'Card' },
      expires_at: '2099-01-01T00:00:00+02:00',
    }),
    changes: ({ program, mentor }, actor, { id }) => [
      made('code', id, {
        ...{ ...made_code, code: 'FAIR', program_id: program, beneficiary_id: mentor.id },
        ...{ max_uses: 5, description: 'Card', expires_at: '2098-12-31T22:00:00+00:00' },
        created_by: actor,
      }),
    ],
  },
  create_code: {
    by: staff,
    args: ({ org, admin }) => ({ org_id: org, referrer_id: admin.id, code: 'Boss', max_uses: 5 }),
    changes: ({ program, admin }, actor, { id }) => [
      made('code', id, {
        ...{ ...made_code, code: 'BOSS', program_id: program, referrer_id: admin.id },
        ...{ max_uses: 5, created_by: actor },
      }),
    ],
  },
  create_organisation: {
    by: ['operator'],
    args: () => ({ name: 'New', slug: 'new', admin_id: newUser }),
    changes: (_, __, { id }) => [
      {
        ...made('organisation', id, {}),
        after: expect.objectContaining({ name: 'New', slug: 'new', active: true, code_length: 8 }),
      },
      made('member', newUser, { role: 'admin', public_name: false }),
    ],
  },
  create_program: {
    args: ({ org }) => ({ org_id: org, key: 'new', name: 'New', terms: { hold_days: 3 } }),
    changes: (_, __, { id }) => [
      made('program', id, { key: 'new', name: 'New', is_default: false, active: true }),
      made('terms', id, {
        ...{ version: 1, hold_days: 3, recurrence: 'once', conversion_window_days: 90 },
        ...{ enrolment: 'invited', guests: true, customers: 'new' },
      }),
    ],
  },
  deactivate_code: {
    by: staff,
    args: ({ org, mentor }) => ({ org_id: org, referrer_id: mentor.id, reason }),
    changes: ({ codeId }, actor) => [
      changed('code', codeId, { status: ['active', 'invalidated'], ...ended(actor) }),
    ],
  },
  deactivate_member: {
    by: staff,
    args: ({ org, mentor }) => ({ org_id: org, user_id: mentor.id, reason, block: true }),
    changes: (stage, actor) => [
      changed('member', stage.mentor.id, {
        ...{ deactivated_at: [null, time], blocked_at: [null, time], reason: [null, reason] },
      }),
      changed('code', stage.codeId, { status: ['active', 'invalidated'], ...ended(actor) }),
      forfeit(stage, actor, true),
    ],
  },
  end_code: {
    by: staff,
    args: ({ codeId }) => ({ code_id: codeId, reason, block: true }),
    changes: (stage, actor) => [
      blocked(stage),
      changed('code', stage.codeId, { status: ['active', 'invalidated'], ...ended(actor) }),
      forfeit(stage, actor, true),
    ],
  },
  forfeit_from: {
    by: staff,
    args: ({ org, mentor }) => ({ org_id: org, member_id: mentor.id, reason }),
    changes: (stage, actor) => [forfeit(stage, actor, false)],
  },
  generate_codes: {
    by: staff,
    args: ({ org }) => ({
      ...{ org_id: org, count: 1000, max_uses: 2, description: 'Cards' },
      expires_at: '2099-01-01T00:00:00Z',
    }),
    changes: ({ program }, _, { batch_id }) => [
      made('code_batch', batch_id, {
        ...{ made: 1000, program_id: program, max_uses: 2, description: 'Cards' },
        expires_at: '2099-01-01T00:00:00+00:00',
      }),
    ],
  },
  import_codes: {
    by: staff,
    args: ({ org }) => ({ org_id: org, rows: [{ code: 'ONE-1', max_uses: 1 }, { code: 'TWO-2' }] }),
    changes: ({ program }, _, { batch_id }) => [
      made('code_batch', batch_id, { made: 2, program_id: program }),
    ],
  },
  reactivate_code: {
    by: staff,
    first: ({ codeId }, sql) => operator(sql).rpc('suspend_code', { code_id: codeId, reason }),
    args: ({ codeId }) => ({ code_id: codeId, reason }),
    changes: ({ codeId }) => [
      {
        ...{ subject: 'code', subject_id: codeId },
        before: { status: 'suspended', reason },
        after: { status: 'active', reason },
      },
    ],
  },
  reactivate_member: {
    first: ({ org, mentor }, sql) =>
      operator(sql).rpc('deactivate_member', { org_id: org, user_id: mentor.id, block: true }),
    args: ({ org, mentor }) => ({ org_id: org, user_id: mentor.id, unblock: true, reason }),
    changes: ({ mentor }) => [
      changed('member', mentor.id, {
        ...{ deactivated_at: [time, null], blocked_at: [time, null], reason: [null, reason] },
      }),
      changed('decision', expect.any(String), { until: [null, time] }),
    ],
  },
  reject_redemption: {
    by: staff,
    args: ({ redemption }) => ({ redemption_id: redemption, reason }),
    changes: (stage, actor) => [
      made('decision', expect.any(String), {
        ...{ ...rejection(stage, actor), redemption_id: stage.redemption },
      }),
    ],
  },
  reject_referral: {
    by: staff,
    args: ({ org, program, friend }) => ({
      ...{ org_id: org, program_id: program, person_id: friend.id, reason },
    }),
    changes: (stage, actor) => [made('decision', expect.any(String), rejection(stage, actor))],
  },
  rotate_code: {
    by: staff,
    args: ({ org, mentor }) => ({ org_id: org, referrer_id: mentor.id, grace: '1 day', reason }),
    changes: ({ codeId, mentor, program }, actor, { id }) => [
      changed('code', codeId, {
        ...{ status: ['active', 'rotated'], replaced_by: [null, id], ...ended(actor) },
        redeemable_until: [null, time],
      }),
      made('code', id, {
        ...{ ...made_code, code: isCode, program_id: program, referrer_id: mentor.id },
        ...{ rotation: 1, chain_id: codeId, created_by: mentor.id },
      }),
    ],
  },
  set_member_role: {
    args: ({ org, mentor }) => ({ org_id: org, user_id: mentor.id, role: 'coordinator' }),
    changes: ({ mentor }) => [changed('member', mentor.id, { role: ['member', 'coordinator'] })],
  },
  set_my_name: {
    by: ['referrer', 'admin'],
    args: ({ org }) => ({ org_id: org, display_name: 'Me', public_name: true }),
    changes: (_, actor) => [
      changed('member', actor, { display_name: [null, 'Me'], public_name: [false, true] }),
    ],
  },
  suspend_code: {
    by: staff,
    args: ({ codeId }) => ({ code_id: codeId, reason }),
    changes: ({ codeId }) => [
      changed('code', codeId, { status: ['active', 'suspended'], reason: [null, reason] }),
    ],
  },
  update_code: {
    by: staff,
    args: ({ codeId }) => ({
      code_id: codeId,
      changes: { description: 'New', expires_at: '2098-12-31', max_uses: 5 },
    }),
    changes: ({ codeId }) => [
      changed('code', codeId, {
        ...{ description: [null, 'New'], expires_at: [null, '2099-01-01T00:00:00+00:00'] },
        max_uses: [null, 5],
      }),
    ],
  },
  update_organisation: {
    args: ({ org }) => ({ org_id: org, changes: newSettings }),
    changes: ({ org }) => [changed('organisation', org, settings)],
  },
  update_program: {
    args: ({ program }) => ({
      program_id: program,
      changes: { name: 'New', active: false, terms: { hold_days: 30, guests: false } },
    }),
    changes: ({ program }) => [
      changed('terms', program, { version: [1, 2], hold_days: [7, 30], guests: [true, false] }),
      changed('program', program, { name: ['Friends', 'New'], active: [true, false] }),
    ],
  },
  withdraw_decision: {
    args: ({ forfeit }) => ({ decision_id: forfeit, reason }),
    changes: ({ forfeit }, actor) => [
      changed('decision', forfeit, {
        ...{ withdrawn_at: [null, time], withdrawn_by: [null, actor] },
        withdrawal_reason: [null, reason],
      }),
    ],
  },
}

const own = 'a person acts for themself: the redemption, the code or the member row says so'
const fact = 'what is told is kept as a fact, which nobody changes'
const job = 'a job does what its time has come for'

/** The RPCs that put nothing on record, each with the reason. */
export const unrecorded = new Map([
  ['expire_codes', job],
  ['expire_redemptions', job],
  ['get_or_create_code', own],
  ['ingest_stripe_event', fact],
  ['maintain_clicks', job],
  ['maintain_events', job],
  ['purge_rate_limits', job],
  ['purge_sign_up_claims', job],
  ['recognise_users', job],
  ['record_click', fact],
  ['record_payment', fact],
  ['record_refund', fact],
  ['record_refund_reversed', fact],
  ['redeem_code', own],
  ['redeem_sign_up_code', own],
  ['release_due_commissions', job],
  ['run_maintenance', job],
  ['resolve_parked_event', fact],
  ['settle_stripe_events', job],
])
