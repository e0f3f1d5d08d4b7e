import type { TextMutation } from './mutation.ts'

const days = ['tests/sql/day-keys']
const programs = ['tests/security/own-programs']
const refs = ['tests/security/payment-refs']
const strangers = ['tests/security/strangers']
const texts = ['tests/sql/one-line-texts']

/** What people may write, and what they learn of others. */
export const privacyMutations: TextMutation[] = [
  {
    name: 'privacy: a text without marks of the direction',
    in: 'is_one_line',
    replace: '\\\\u200E\\\\u200F',
    by: '',
    tests: texts,
  },
  {
    name: 'privacy: no plain http but to one’s own machine',
    in: 'is_page_url',
    replace: '(localhost|127[.]0[.]0[.]1)',
    by: '[a-z0-9.-]+',
    tests: ['tests/sql/organisations'],
  },
  {
    name: 'privacy: nor to an address that is written like it',
    in: 'is_page_url',
    replace: '127[.]0[.]0[.]1',
    by: '127.0.0.1',
    tests: ['tests/sql/organisations'],
  },
  {
    name: 'privacy: descriptions of imported codes',
    in: 'faults_of_row',
    replace: "or not referral_private.is_one_line(p_row ->> 'description')",
    by: '',
    tests: texts,
  },
  {
    name: 'privacy: an address under the key of the day',
    in: 'address_bucket',
    replace: "referral_private.hash_of_day(p_day, p_org_id || ' ' || v_network)",
    by: "sha256(convert_to(p_org_id || ' ' || v_network, 'UTF8'))",
    tests: days,
  },
  {
    name: 'privacy: an address of one organisation',
    in: 'address_bucket',
    replace: "p_org_id || ' ' ||",
    by: "'' ||",
    tests: days,
  },
  {
    name: 'privacy: keys of past days go with the counts',
    in: 'purge_rate_limits',
    replace: 'perform referral_private.forget_keys_before(',
    by: 'perform (',
    tests: days,
  },
  {
    name: 'privacy: enrolment tells of no organisation',
    in: 'get_or_create_code',
    replace: 'perform referral_private.require_open_program(',
    by: `perform referral_private.program_for_code(p_org_id, p_program_id);
      perform referral_private.require_open_program(`,
    tests: strangers,
  },
  {
    name: 'privacy: a member who enrolled by themself learns of no program',
    in: 'program_for_member',
    replace: 'referral_private.named_program(',
    by: 'referral_private.program_for_code(',
    tests: strangers,
  },
  ...['rotate_code', 'deactivate_code'].map((rpc) => ({
    name: `privacy: a stranger does not wait for ${rpc}`,
    in: rpc,
    replace: 'perform referral_private.require_member(p_org_id, v_referrer_id);',
    by: '',
    tests: strangers,
  })),
  {
    name: 'privacy: a page begins after a referral of one’s own',
    in: 'position_after',
    replace: 'and (p_referrer_id is null or r.referrer_id = p_referrer_id)',
    by: '',
    tests: strangers,
  },
  {
    name: 'privacy: a page begins after an entry of one’s own',
    in: 'my_statement',
    replace: 'and a.earner_id = v_earner_id\n  )',
    by: ')',
    tests: strangers,
  },
  {
    name: 'privacy: an anonymous sign-in learns of no code',
    in: 'require_readable_code',
    replace: 'perform referral_private.require_person();',
    by: '',
    tests: strangers,
  },
  {
    name: 'privacy: programs of open enrolment',
    in: 'readable_programs',
    replace: 'or referral_private.has_open_enrolment(p.org_id, p.id)',
    by: '',
    tests: programs,
  },
  {
    name: 'privacy: programs of their code',
    in: 'readable_programs',
    replace: 'c.referrer_id = v_user_id',
    by: 'false',
    tests: programs,
  },
  {
    name: 'privacy: programs of their redemption',
    in: 'readable_programs',
    replace: 'r.referee_id = v_user_id',
    by: 'false',
    tests: programs,
  },
  {
    name: 'privacy: programs of others’ redemptions',
    in: 'readable_programs',
    replace: 'and r.referee_id = v_user_id',
    by: '',
    tests: programs,
  },
  {
    name: 'privacy: programs all',
    in: 'readable_programs',
    replace: 'p.org_id <> all (v_open_org_ids)',
    by: 'true',
    tests: programs,
  },
  {
    name: 'privacy: programs of staff who enrolled by themselves',
    in: 'readable_programs',
    replace: "except\n    select referral_private.orgs_with_role('coordinator')",
    by: '',
    tests: programs,
  },
  {
    name: 'privacy: ids of sales in a statement',
    in: 'my_statement',
    replace: 'case when v_is_admin then f.sale_id end',
    by: 'f.sale_id',
    tests: refs,
  },
  {
    name: 'privacy: events in a statement',
    in: 'my_statement',
    replace: 'case when v_is_admin then f.caused_by end',
    by: 'f.caused_by',
    tests: refs,
  },
  {
    name: 'privacy: ids of sales in an explanation',
    in: 'explain_commission',
    replace: 'case when v_is_admin then s.sale_id end',
    by: 's.sale_id',
    tests: refs,
  },
  {
    name: 'privacy: events in an explanation',
    in: 'explain_commission',
    replace:
      'case when v_is_admin then referral_private.events_of_sale(v_stripe_account, s.livemode, s.sale_id) end',
    by: 'referral_private.events_of_sale(v_stripe_account, s.livemode, s.sale_id)',
    tests: refs,
  },
  {
    name: 'privacy: a sale is explained by its id to admins only',
    in: 'explain_commission',
    replace: 'if v_is_admin or p_sale_id is not null then',
    by: 'if v_is_admin then',
    tests: ['tests/sql/ledger'],
  },
  {
    name: 'privacy: a sale is known by its first entry only',
    in: 'sale_numbered',
    replace:
      'and e.entry_id = referral_private.sale_number(e.org_id, e.stripe_account, e.livemode, e.sale_id)',
    by: '',
    tests: ['tests/sql/ledger'],
  },
]
