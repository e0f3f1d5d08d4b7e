import type { Mutation, TextMutation } from './mutation.ts'

const grown = ['tests/sql/grown']
const rows = ['tests/security/rows']
const list = ['tests/sql/code-list']

/** The select of a table, by a policy that the planner cannot use. */
const unusable = (table: string, policy: string): Mutation => ({
  name: `plans: a stranger’s list of ${table}`,
  sql: `alter policy ${policy} on referral.${table}
    using (org_id in (select unnest(referral_private.org_ids_with_role('coordinator'))))`,
  tests: grown,
})

/** What calls and lists read at most. */
export const planMutations: Mutation[] = [
  {
    name: 'plans: a text of another collation',
    sql: 'alter table referral_private.rate_limit_buckets alter column bucket type text collate "default"',
    tests: ['tests/schema/collations'],
  },
  unusable('codes', 'codes_staff_reads'),
  unusable('redemptions', 'redemptions_staff_reads'),
]

/** The same in functions, and whom lists are for. */
export const planTextMutations: TextMutation[] = [
  {
    name: 'plans: redemptions of a code, in place of a person’s',
    in: 'has_redeemed',
    replace: 'offset 0',
    by: '',
    tests: grown,
  },
  {
    name: 'plans: changes in the order of an index',
    in: 'list_changes',
    replace: "SET enable_bitmapscan TO 'off'",
    by: '',
    tests: grown,
  },
  {
    name: 'plans: codes in the order of an index',
    in: 'list_codes',
    replace: "SET enable_bitmapscan TO 'off'",
    by: '',
    tests: grown,
  },
  {
    name: 'plans: pending redemptions in the order of an index',
    in: 'expire_redemptions',
    replace: 'order by r.redeemed_at',
    by: '',
    tests: grown,
  },
  {
    name: 'plans: texts that purchases carry',
    in: 'keys_carried_since',
    replace: "SET enable_seqscan TO 'off'",
    by: '',
    tests: grown,
  },
  {
    name: 'codes: a list is of one’s own',
    in: 'list_codes',
    replace: '(v_is_staff or c.referrer_id = v_referrer_id)\n      and (p_referrer_id',
    by: 'true\n      and (p_referrer_id',
    tests: list,
  },
  {
    name: 'codes: a page after a code that is not shown',
    in: 'list_codes',
    replace: 'and c.id = p_after and (v_is_staff or c.referrer_id = v_referrer_id)',
    by: 'and c.id = p_after',
    tests: list,
  },
  {
    name: 'codes: a list without repetition',
    in: 'list_codes',
    replace: 'or c.id > v_after.id',
    by: 'or c.id >= v_after.id',
    tests: list,
  },
  {
    name: 'codes: what can be used',
    in: 'list_codes',
    replace: "c.status = 'active' and coalesce(c.expires_at > v_now, true)",
    by: "c.status = 'active'",
    tests: list,
  },
  {
    name: 'members: memberships of others',
    in: 'my_memberships',
    replace: 'm.user_id = v_user_id',
    by: 'true',
    tests: [...rows, 'tests/security/calls'],
  },
]
