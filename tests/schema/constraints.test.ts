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
  const [redeemed] = await friend.rpc('redeem_code', { code })
  const [debit, credit] = await sql`
    insert into referral_private.ledger_accounts (org_id, livemode, earner_id, kind, currency)
    values (${org}, true, null, 'expense', 'usd'), (${org}, true, ${mentor.id}, 'paid', 'usd') returning account_id`
  Object.assign(ids, { debit: debit?.account_id, credit: credit?.account_id })
  Object.assign(ids, { org, program, mentor: mentor.id, code: id, friend: friend.id, text: code })
  Object.assign(ids, { redemption: redeemed?.redemption_id })
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
const decision = (change: Record<string, string>) => {
  const row = { org_id: ':org', kind: "'forfeit'", ...change }
  return `insert into referral.decisions (${Object.keys(row).join(', ')}) values (${Object.values(row).join(', ')})`
}
const rejection = { kind: "'reject'", program_id: ':program' }
const forfeit = { member_id: ':mentor', since: 'to_timestamp(1)' }
const payment = (change: Record<string, string>) => {
  const row = {
    stripe_account: `''`,
    livemode: 'false',
    payment_id: `'in_1'`,
    source: `'invoice'`,
    names_referral: 'true',
    paid_at: 'now()',
    made_at: 'now()',
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
const insert = (table: string, row: Record<string, string>) =>
  `insert into referral_private.${table} (${Object.keys(row).join(', ')}) values (${Object.values(row).join(', ')})`
const fact = (table: string, row: Record<string, string>) =>
  insert(table, {
    stripe_account: `''`,
    livemode: 'false',
    stated_at: 'now()',
    stated_by: `'evt_1'`,
    ...row,
  })
const sale = (change: Record<string, string>) =>
  insert('sales', {
    stripe_account: `''`,
    livemode: 'false',
    sale_id: `'in_1'`,
    payer_id: `'cus_1'`,
    is_guest: 'false',
    object_ids: `'{}'`,
    currency: `'usd'`,
    total: '1',
    sale_at: 'now()',
    paid_at: 'now()',
    ...change,
  })
const record = (change: Record<string, string>) =>
  insert('recorded_facts', {
    org_id: ':org',
    livemode: 'true',
    kind: `'payment'`,
    provider: `'play'`,
    ref: `'1'`,
    content: `'{}'`,
    ...change,
  })
const account = (change: Record<string, string>) =>
  insert('ledger_accounts', {
    org_id: ':org',
    livemode: 'true',
    earner_id: ':mentor',
    kind: `'in_transit'`,
    currency: `'usd'`,
    ...change,
  })
const entry = (change: Record<string, string>) =>
  insert('ledger_entries', {
    org_id: ':org',
    debit_account_id: ':debit',
    credit_account_id: ':credit',
    amount: '1',
    currency: `'usd'`,
    reason_key: `'x'`,
    stripe_account: `''`,
    livemode: 'false',
    sale_id: `'in_1'`,
    caused_by: `'evt_1'`,
    ...change,
  })
const posting = (change: Record<string, string>) =>
  insert('postings', {
    org_id: ':org',
    stripe_account: `''`,
    livemode: 'false',
    sale_id: `'in_1'`,
    earner_id: ':mentor',
    kind: `'pending'`,
    currency: `'usd'`,
    amount: '1',
    entries: '1',
    ...change,
  })
const event = (change: Record<string, string>) => {
  const row = {
    stripe_account: `''`,
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

const clicked = { provenance: "'link'", click_id: `'${nobody}'`, clicked_at: 'now()' }

const refused: Record<string, string> = {
  organisations_slug_is_unique: newOrganisation,
  organisations_stripe_account_is_unique: `${organisation("stripe_account_id = 'acct_1'")}; insert into referral.organisations (slug, name, stripe_account_id) values ('other', 'X', 'acct_1')`,
  organisations_slug_is_a_label: organisation("slug = 'No Slug'"),
  organisations_name_is_1_to_120: organisation("name = ''"),
  organisations_name_is_one_line: organisation("name = e'one\\ntwo'"),
  organisations_stripe_account_is_an_id: organisation("stripe_account_id = 'me'"),
  organisations_link_origin_is_https: organisation("link_origin = 'https://example.org/path'"),
  organisations_web_destination_is_a_page: organisation("web_destination = 'http://example.org'"),
  organisations_ios_destination_is_https: organisation("ios_destination = 'http://example.org'"),
  organisations_android_destination_is_https: organisation(
    "android_destination = 'http://example.org'",
  ),
  organisations_android_package_is_a_name: organisation("android_package = 'nopackage'"),
  organisations_link_origin_is_unique: `${organisation("link_origin = 'https://go.example.org'")}; insert into referral.organisations (slug, name, link_origin) values ('other', 'X', 'https://go.example.org')`,
  organisations_ios_app_ids_are_ids: organisation("ios_app_ids = '{com.example.app}'"),
  organisations_android_fingerprints_are_sha256: organisation("android_fingerprints = '{ABCD}'"),
  organisations_clicks_per_visitor_is_positive: organisation('clicks_per_visitor = 0'),
  organisations_clicks_per_code_is_positive: organisation('clicks_per_code = 0'),
  organisations_click_window_is_a_quarter_at_most: organisation("click_window = '3 months'"),
  organisations_time_zone_is_a_name: organisation("time_zone = 'Mars; drop'"),
  organisations_code_length_is_8_to_16: organisation('code_length = 17'),
  organisations_codes_per_member_is_positive: organisation('codes_per_member = 0'),
  organisations_batch_rows_per_day_is_bounded: organisation('batch_rows_per_day = -1'),
  organisations_max_uses_cap_is_positive: organisation('max_uses_cap = 0'),
  organisations_redemptions_per_user_is_positive: organisation('redemptions_per_user = 0'),
  organisations_redemptions_per_address_is_positive: organisation('redemptions_per_address = 0'),
  organisations_rotations_per_day_is_positive: organisation('rotations_per_day = 0'),
  organisations_rotation_grace_is_a_quarter_at_most: organisation("rotation_grace = '91 days'"),
  members_belong_to_an_organisation: `insert into referral.members (org_id, user_id) values ('${nobody}', '${nobody}')`,
  members_display_name_is_1_to_80: "update referral.members set display_name = ''",
  members_display_name_is_one_line: "update referral.members set display_name = e'one\\ntwo'",
  members_public_name_is_set: 'update referral.members set public_name = true',
  members_reason_is_500_at_most: "update referral.members set reason = repeat('x', 501)",
  changes_belong_to_an_organisation: `insert into referral_private.changes (org_id, made_as, subject, subject_id) values ('${nobody}', 'x', 'code', '${nobody}')`,
  members_reason_is_one_line: "update referral.members set reason = e'one\\ntwo'",
  programs_key_is_unique:
    "insert into referral.programs (org_id, key, name) values (:org, 'friends', 'X')",
  programs_one_default: program('is_default', 'true'),
  programs_belong_to_an_organisation: `insert into referral.programs (org_id, key, name) values ('${nobody}', 'x', 'X')`,
  programs_key_is_a_label: "update referral.programs set key = 'No Key'",
  programs_name_is_1_to_120: "update referral.programs set name = ''",
  programs_name_is_one_line: "update referral.programs set name = e'one\\ntwo'",
  program_terms_belong_to_a_program: `insert into referral.program_terms (org_id, program_id, version, terms) values (:org, '${nobody}', 1, '{}')`,
  program_terms_version_is_positive: `insert into referral.program_terms (org_id, program_id, version, terms, valid_to) values (:org, :program, 0, '{}', 'infinity')`,
  program_terms_end_after_they_begin: 'update referral.program_terms set valid_to = valid_from',
  program_terms_one_in_force:
    "insert into referral.program_terms (org_id, program_id, version, terms) values (:org, :program, 2, '{}')",
  reserved_words_are_as_shown:
    "insert into referral_private.reserved_words (word) values ('lower')",
  reserved_words_are_one_spelling:
    "insert into referral_private.reserved_words (word) values ('SH1T')",
  allowed_words_belong_to_an_organisation: `insert into referral_private.allowed_words (org_id, word) values ('${nobody}', 'COCK')`,
  allowed_words_are_reserved:
    "insert into referral_private.allowed_words (org_id, word) values (:org, 'NICE')",
  code_batches_are_of_an_organisation: `insert into referral_private.code_batches (org_id, asked) values ('${nobody}', 1)`,
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
  codes_are_replaced_by_a_code: `${code('status, ended_at, replaced_by', `'rotated', now(), '${nobody}'`)}; set constraints all immediate`,
  codes_description_is_500_at_most: code('description', "repeat('x', 501)"),
  codes_reason_is_500_at_most: code('reason', "repeat('x', 501)"),
  codes_description_is_one_line: code('description', "e'one\\ntwo'"),
  codes_reason_is_one_line: code('reason', "e'one\\ntwo'"),
  codes_rotation_is_counted: code('rotation', '-1'),
  codes_unrotated_begin_their_chain: code('rotation', '1'),
  codes_chain_begins_with_a_code: code('rotation, chain_id', `1, '${nobody}'`),
  codes_expire_at_a_time: code('expires_at', "'infinity'"),
  codes_rotated_are_replaced: code('status, ended_at', "'rotated', now()"),
  codes_only_rotated_have_grace: code('redeemable_until', 'now()'),
  codes_ended_say_when: code('status', "'invalidated'"),
  code_changes_are_of_a_code: `insert into referral.code_changes (org_id, code_id, to_status) values (:org, '${nobody}', 'active')`,
  code_states_are_of_a_code: `insert into referral_private.code_states (org_id, code_id, status, since) values (:org, '${nobody}', 'active', now())`,
  redemptions_one_per_referee: redemption({ referee_id: ':friend' }),
  redemptions_no_mutual_pair: redemption({ referrer_id: ':friend', referee_id: ':mentor' }),
  redemptions_use_a_code: redemption({ code_id: `'${nobody}'` }),
  redemptions_have_terms: redemption({ terms_version: '2' }),
  redemptions_no_self_referral: redemption({ referrer_id: `'${nobody}'` }),
  redemptions_channel_is_a_label: redemption({ channel: "'No Label'" }),
  redemptions_proved_by_a_click: redemption({ provenance: "'link'" }),
  redemptions_clicked_say_when: redemption({ clicked_at: 'now()' }),
  redemptions_one_per_click: `${redemption(clicked)}; ${redemption({ ...clicked, referee_id: 'gen_random_uuid()' })}`,
  redemptions_decided_say_when: redemption({ decision: "'confirmed'" }),
  redemptions_rejected_by_decision: redemption({ status: "'rejected'" }),
  redemptions_decision_reason_is_500_at_most: redemption({ decision_reason: "repeat('x', 501)" }),
  redemptions_decision_reason_is_one_line: redemption({ decision_reason: "e'one\\ntwo'" }),
  redemptions_confirmed_say_when: redemption({ status: "'confirmed'" }),
  redemptions_pending_are_unconfirmed: redemption({ confirmed_at: 'now()' }),
  decisions_are_in_a_program: decision({ kind: "'reject'", program_id: `'${nobody}'` }),
  decisions_are_on_a_redemption: decision({
    ...rejection,
    person_id: ':friend',
    redemption_id: `'${nobody}'`,
  }),
  decisions_are_on_a_member: decision({ ...forfeit, member_id: `'${nobody}'` }),
  decisions_are_on_a_code: decision({
    chain_id: `'${nobody}'`,
    since: forfeit.since,
  }),
  decisions_forfeit_of_a_member_or_a_code: decision({ ...forfeit, chain_id: ':code' }),
  decisions_forfeit_from_a_time: decision({ member_id: ':mentor' }),
  decisions_forfeit_until_later: decision({ ...forfeit, until: forfeit.since }),
  decisions_forfeit_in_whole_seconds: decision({
    ...forfeit,
    since: 'to_timestamp(1.5)',
  }),
  decisions_forfeit_by_block: decision({ ...rejection, by_block: 'true' }),
  decisions_of_a_program_unless_forfeit: decision({ ...forfeit, program_id: ':program' }),
  decisions_confirm_a_redemption: decision({ ...rejection, kind: "'confirm'" }),
  decisions_name_the_referee: decision({ ...rejection, redemption_id: ':redemption' }),
  decisions_of_a_person_in_a_program: decision({ ...forfeit, person_id: ':friend' }),
  decisions_reason_is_500_at_most: decision({ ...forfeit, reason: "repeat('x', 501)" }),
  decisions_reason_is_one_line: decision({ ...forfeit, reason: "e'one\\ntwo'" }),
  decisions_withdrawal_reason_is_one_line: decision({
    ...forfeit,
    withdrawn_at: 'now()',
    withdrawal_reason: "e'one\\ntwo'",
  }),
  decisions_withdrawal_reason_is_500_at_most: decision({
    ...forfeit,
    withdrawn_at: 'now()',
    withdrawal_reason: "repeat('x', 501)",
  }),
  decisions_withdrawn_say_when: decision({ ...forfeit, withdrawn_by: ':mentor' }),
  decision_payers_are_of_a_decision: insert('decision_payers', {
    org_id: ':org',
    decision_id: `'${nobody}'`,
    stripe_account: `''`,
    livemode: 'true',
    payer_id: `'cus_1'`,
  }),
  decision_payers_payer_is_1_to_500: insert('decision_payers', {
    org_id: ':org',
    decision_id: `'${nobody}'`,
    stripe_account: `''`,
    livemode: 'true',
    payer_id: `''`,
  }),
  click_days_are_of_a_code: insert('click_days', {
    org_id: ':org',
    code_id: `'${nobody}'`,
    day: 'now()',
    platform: `'web'`,
    channel: `''`,
    clicks: '1',
    stored: '1',
  }),
  redemption_changes_are_of_a_redemption: `insert into referral.redemption_changes (org_id, redemption_id, from_status, to_status) values (:org, '${nobody}', 'pending', 'expired')`,
  sign_up_reservations_are_of_a_code: `insert into referral_private.sign_up_reservations (user_id, org_id, chain_id, expires_at) values ('${nobody}', :org, '${nobody}', now())`,
  sign_up_claims_code_is_128_at_most: `insert into referral_private.sign_up_claims (user_id, code) values ('${nobody}', repeat('x', 129))`,
  payments_currency_is_a_code: payment({ currency: "'dollars'" }),
  payments_amounts_are_exact_in_javascript: payment({ total_excluding_tax: '9007199254740992' }),
  refunds_amount_is_exact_in_javascript: fact('refunds', {
    refund_id: `'re_1'`,
    status_rank: '0',
    amount: '-1',
  }),
  refunds_status_rank_is_known: fact('refunds', {
    refund_id: `'re_1'`,
    status_rank: '3',
    amount: '1',
  }),
  disputes_amount_is_exact_in_javascript: fact('disputes', {
    dispute_id: `'du_1'`,
    payment_key: `'pi_1'`,
    currency: `'usd'`,
    amount: '-1',
  }),
  credit_notes_outside_is_exact_in_javascript: fact('credit_notes', {
    credit_note_id: `'cn_1'`,
    invoice_id: `'in_1'`,
    void: 'false',
    outside: '-1',
  }),
  payer_evidence_is_carried: `insert into referral_private.payer_evidence (stripe_account, livemode, carrier, kind, named, object_id, carried_at) values ('', false, 'cus_1', 'redemption', 'X', 'cs_1', now())`,
  sales_are_of_something: sale({ paid: '0', reversed: '0' }),
  sales_reversed_at_most_paid: sale({ paid: '1', reversed: '2' }),
  switches_belong_to_an_organisation: `insert into referral_private.switches (org_id, active) values ('${nobody}', true)`,
  referrals_are_of_a_program: `insert into referral_private.referrals (org_id, program_id, earner_id, person, stripe_account, livemode, payer_id, first_paid_at, first_sale_id) values (:org, '${nobody}', '${nobody}', 'x', '', false, 'x', now(), 'x')`,
  guest_sales_are_by_a_code: `insert into referral_private.guest_sales (code_id, livemode, paid_on, paid_at, sale_id, stripe_account) values ('${nobody}', false, now(), now(), 'x', '')`,
  recorded_facts_belong_to_an_organisation: record({ org_id: `'${nobody}'` }),
  recorded_facts_kind_is_known: record({ kind: `'gift'` }),
  recorded_facts_provider_is_a_label: record({ provider: `'The Store'` }),
  recorded_facts_ref_is_1_to_255: record({ ref: `''` }),
  ledger_accounts_belong_to_an_organisation: account({ org_id: `'${nobody}'` }),
  ledger_accounts_expense_is_the_organisations: account({ kind: `'expense'` }),
  ledger_accounts_expense_is_not_summed: account({
    kind: `'expense'`,
    earner_id: 'null',
    balance: '1',
  }),
  ledger_accounts_currency_is_a_code: account({ currency: `'dollars'` }),
  ledger_accounts_balance_is_exact_in_javascript: account({ balance: '9007199254740992' }),
  ledger_accounts_one_per_earner_and_kind: `${account({})}; ${account({})}`,
  ledger_entries_debit_an_account: entry({ debit_account_id: '-1' }),
  ledger_entries_credit_an_account: entry({ credit_account_id: '-1' }),
  ledger_entries_belong_to_one_thing: entry({ payout_id: 'gen_random_uuid()' }),
  ledger_entries_sales_have_a_stripe_account: entry({ stripe_account: 'null' }),
  ledger_entries_are_between_two: entry({ credit_account_id: ':debit' }),
  ledger_entries_amount_is_positive: entry({ amount: '0' }),
  ledger_entries_reason_is_unique: `${entry({})}; ${entry({})}`,
  postings_belong_to_an_organisation: posting({ org_id: `'${nobody}'` }),
  postings_are_exact_in_javascript: posting({ amount: '-1' }),
  parked_events_are_in_the_inbox: `insert into referral_private.parked_events (stripe_account, livemode, event_id, event_created_at, reason, event) values ('', false, 'evt_none', now(), 'x', '{}')`,
  unapplied_events_are_in_the_inbox: `insert into referral_private.unapplied_events (stripe_account, livemode, event_id, event_created_at) values ('', false, 'evt_none', now())`,
  stripe_events_stripe_account_is_an_id: event({ stripe_account: "'me'" }),
  stripe_events_have_an_id: event({ event_id: "'no event'" }),
  stripe_events_body_is_hashed: event({ body_sha256: "'no hash'" }),
}

test('every constraint and unique index is listed here', async () => {
  const rows = await sql`
    select conname as name from pg_constraint
    where connamespace::regnamespace::text like 'referral%' and contype in ('c', 'f', 'u', 'x')
      -- Those of a partition are the whole table's.
      and conparentid = 0
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
