/** Every constraint by its name, and a row that it refuses, even to the owner. A new constraint fails until it is here. */
import { beforeAll, expect, test } from 'vitest'
import { person } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'
import { codeOf, scene } from '../support/scene.ts'

const sql = await testDatabase()
const nobody = '00000000-0000-4000-8000-00000000dead'
const ids: Record<string, string> = {}

beforeAll(async () => {
  const { org, program, mentor } = await scene(sql)
  const { id, code } = await codeOf(mentor, org)
  const friend = person(sql)
  await friend.rpc('redeem_code', { code })
  Object.assign(ids, { org, program, mentor: mentor.id, code: id, friend: friend.id, text: code })
})

const organisation = (change: string) => `update referral.organisations set ${change}`
const newOrganisation = `insert into referral.organisations (slug, name) select slug, 'X' from referral.organisations`
const program = (columns: string, values: string) =>
  `insert into referral.programs (org_id, key, name, ${columns}) values (:org, 'other', 'Other', ${values})`
const code = (columns: string, values: string, { org = ':org', id = ':program' } = {}) =>
  `insert into referral.codes (org_id, program_id, code, ${columns}) values (${org}, ${id}, 'NEW-CODE', ${values})`
const redemption = (change: Record<string, string>) => {
  const row = {
    org_id: ':org',
    program_id: ':program',
    terms_version: '1',
    code_id: ':code',
    referee_id: `'${nobody}'`,
    ...change,
  }
  return `insert into referral.redemptions (${Object.keys(row).join(', ')}) values (${Object.values(row).join(', ')})`
}
const payment = (change: Record<string, string>) => {
  const row = {
    account: `''`,
    livemode: 'false',
    payment_id: `'in_1'`,
    payer_id: `'cus_1'`,
    currency: `'usd'`,
    paid: '1',
    total: '1',
    sale_at: 'now()',
    stated_at: 'now()',
    stated_by: `'evt_1'`,
    ...change,
  }
  return `insert into referral_private.payments (${Object.keys(row).join(', ')}) values (${Object.values(row).join(', ')})`
}
const event = (change: Record<string, string>) => {
  const row = {
    account: `''`,
    livemode: 'false',
    event_id: `'evt_1'`,
    type: `'x'`,
    status: `'ignored'`,
    created_at: 'now()',
    body_sha256: `repeat('0', 64)`,
    event: `'{}'`,
    ...change,
  }
  return `insert into referral_private.stripe_events (${Object.keys(row).join(', ')}) values (${Object.values(row).join(', ')})`
}

const refused: Record<string, string> = {
  organisations_slug_is_unique: newOrganisation,
  organisations_stripe_account_is_unique: `${organisation("stripe_account_id = 'acct_1'")}; insert into referral.organisations (slug, name, stripe_account_id) values ('other', 'X', 'acct_1')`,
  organisations_slug_is_a_label: organisation("slug = 'No Slug'"),
  organisations_name_is_1_to_120: organisation("name = ''"),
  organisations_stripe_account_is_an_id: organisation("stripe_account_id = 'me'"),
  organisations_link_origin_is_https: organisation("link_origin = 'https://example.org/path'"),
  organisations_web_destination_is_https: organisation("web_destination = 'http://example.org'"),
  organisations_ios_destination_is_https: organisation("ios_destination = 'http://example.org'"),
  organisations_android_destination_is_https: organisation(
    "android_destination = 'http://example.org'",
  ),
  organisations_android_package_is_a_name: organisation("android_package = 'nopackage'"),
  organisations_code_length_is_8_to_16: organisation('code_length = 17'),
  organisations_codes_per_member_is_positive: organisation('codes_per_member = 0'),
  organisations_max_uses_cap_is_positive: organisation('max_uses_cap = 0'),
  organisations_redemptions_per_account_is_positive: organisation('redemptions_per_account = 0'),
  organisations_redemptions_per_address_is_positive: organisation('redemptions_per_address = 0'),
  organisations_rotation_grace_is_a_quarter_at_most: organisation("rotation_grace = '91 days'"),
  members_belong_to_an_organisation: `insert into referral.members (org_id, user_id) values ('${nobody}', '${nobody}')`,
  members_display_name_is_1_to_80: "update referral.members set display_name = ''",
  members_public_name_is_set: 'update referral.members set public_name = true',
  members_reason_is_500_at_most: "update referral.members set reason = repeat('x', 501)",
  member_changes_are_of_a_member: `insert into referral.member_changes (org_id, user_id, role, deactivated, blocked) values (:org, '${nobody}', 'member', false, false)`,
  programs_key_is_unique:
    "insert into referral.programs (org_id, key, name) values (:org, 'friends', 'X')",
  programs_one_default: program('is_default', 'true'),
  programs_belong_to_an_organisation: `insert into referral.programs (org_id, key, name) values ('${nobody}', 'x', 'X')`,
  programs_key_is_a_label: "update referral.programs set key = 'No Key'",
  programs_name_is_1_to_120: "update referral.programs set name = ''",
  program_terms_belong_to_a_program: `insert into referral.program_terms (org_id, program_id, version, terms) values (:org, '${nobody}', 1, '{}')`,
  program_terms_version_is_positive: 'update referral.program_terms set version = 0',
  program_terms_end_after_they_begin: 'update referral.program_terms set valid_to = valid_from',
  program_terms_one_in_force:
    "insert into referral.program_terms (org_id, program_id, version, terms) values (:org, :program, 2, '{}')",
  reserved_words_are_normal:
    "insert into referral_private.reserved_words (word, whole) values ('lower', true)",
  code_quotas_belong_to_an_organisation: `insert into referral.code_quotas (org_id, max_uses) values ('${nobody}', 1)`,
  code_quotas_never_exceeded:
    'insert into referral.code_quotas (org_id, used, max_uses) values (:org, 2, 1)',
  code_quotas_allow_a_use: 'insert into referral.code_quotas (org_id, max_uses) values (:org, 0)',
  codes_key_is_unique:
    'insert into referral.codes (org_id, program_id, code) select org_id, program_id, lower(code) from referral.codes',
  codes_one_active: code('referrer_id', ':mentor'),
  codes_belong_to_a_program: code('description', 'null', { id: `'${nobody}'` }),
  codes_referrer_is_a_member: code('referrer_id', `'${nobody}'`),
  codes_have_a_quota: code('quota_id', `'${nobody}'`),
  codes_are_replaced_by_a_code: `${code('status, deactivated_at, replaced_by', `'rotated', now(), '${nobody}'`)}; set constraints all immediate`,
  codes_description_is_500_at_most: code('description', "repeat('x', 501)"),
  codes_reason_is_500_at_most: code('reason', "repeat('x', 501)"),
  codes_rotation_is_counted: code('rotation', '-1'),
  codes_expire_at_a_time: code('expires_at', "'infinity'"),
  codes_rotated_are_replaced: code('status, deactivated_at', "'rotated', now()"),
  codes_only_rotated_have_grace: code('redeemable_until', 'now()'),
  codes_ended_say_when: code('status', "'invalidated'"),
  code_changes_are_of_a_code: `insert into referral.code_changes (org_id, code_id, to_status) values (:org, '${nobody}', 'active')`,
  redemptions_one_per_referee: redemption({ referee_id: ':friend' }),
  redemptions_no_mutual_pair: redemption({ referrer_id: ':friend', referee_id: ':mentor' }),
  redemptions_use_a_code: redemption({ code_id: `'${nobody}'` }),
  redemptions_have_terms: redemption({ terms_version: '2' }),
  redemptions_no_self_referral: redemption({ referrer_id: `'${nobody}'` }),
  redemptions_channel_is_a_label: redemption({ channel: "'No Label'" }),
  redemptions_decided_say_when: redemption({ decision: "'confirmed'" }),
  redemptions_rejected_by_decision: redemption({ status: "'rejected'" }),
  redemptions_decision_reason_is_500_at_most: redemption({ decision_reason: "repeat('x', 501)" }),
  redemptions_confirmed_say_when: redemption({ status: "'confirmed'" }),
  redemptions_pending_are_unconfirmed: redemption({ confirmed_at: 'now()' }),
  redemption_changes_are_of_a_redemption: `insert into referral.redemption_changes (org_id, redemption_id, from_status, to_status) values (:org, '${nobody}', 'pending', 'expired')`,
  sign_up_claims_code_is_128_at_most: `insert into referral_private.sign_up_claims (user_id, code) values ('${nobody}', repeat('x', 129))`,
  payments_currency_is_a_code: payment({ currency: "'dollars'" }),
  payments_amounts_are_exact_in_javascript: payment({ total_excluding_tax: '9007199254740992' }),
  stripe_events_account_is_an_id: event({ account: "'me'" }),
  stripe_events_have_an_id: event({ event_id: "'no event'" }),
  stripe_events_body_is_hashed: event({ body_sha256: "'no hash'" }),
}

test('every constraint and unique index is listed here', async () => {
  const rows = await sql`
    select conname as name from pg_constraint
    where connamespace::regnamespace::text like 'referral%' and contype in ('c', 'f', 'u', 'x')
      -- Targets of foreign keys: implied by the primary key, so no row violates them alone.
      and conname not like '%_org_and_id_are_unique'
    union
    select i.indexrelid::regclass::text from pg_index as i join pg_class as c on c.oid = i.indexrelid
    where c.relnamespace::regnamespace::text like 'referral%' and i.indisunique and not i.indisprimary
      and not exists (select from pg_constraint as k where k.conindid = i.indexrelid)`
  const names = rows.map(({ name }) => String(name).replace(/^referral(_private)?\./, ''))
  expect(names.sort()).toEqual(Object.keys(refused).sort())
})

test.for(Object.entries(refused))('%s', async ([name, statement]) => {
  const text = statement.replace(/:(\w+)/g, (_, id) => `'${ids[id]}'`)
  const error = await sql.begin((tx) => tx.unsafe(text).simple()).catch((reason) => reason)
  expect(error.constraint_name ?? error.message).toBe(name)
})
