import type { TextMutation } from './mutation.ts'

const append = [
  'ledger_entries',
  'stripe_events',
  'resolved_events',
  'recorded_facts',
  'code_states',
  'decision_payers',
  'switches',
  'changes',
]

const of =
  (area: string, target: string, tests: string[]) =>
  (name: string, replace: string, by: string): TextMutation => ({
    name: `${area}: ${name}`,
    in: target,
    replace,
    by,
    tests,
  })

const verification = ['tests/sql/verification']
const triggers = of('verify', 'guards', ['tests/sql/verified-triggers'])
const modes = of('verify', 'trigger_faults', ['tests/sql/verified-triggers'])
const accounts = of('verify', 'verify_accounts', verification)
const faults = of('verify', 'faults_of_sales', verification)
const sales = of('verify', 'verify_sales', verification)
const whole = of('verify', 'verify_ledger', verification)

/** What verify_ledger finds. */
export const verificationMutations: TextMutation[] = [
  ...append.map((table) => triggers(`the trigger of ${table}`, table, 'ledger_entries')).slice(1),
  triggers('the trigger of ledger_entries', 'ledger_entries,', ''),
  modes(
    'a trigger that a replica skips',
    "g.mode is distinct from 'A'",
    "coalesce(g.mode = 'D', true)",
  ),
  modes(
    'a trigger that is disabled',
    "g.mode is distinct from 'A'",
    "coalesce(g.mode = 'O', true)",
  ),
  modes('a trigger that is missing', "is distinct from 'A'", "<> 'A'"),
  triggers('the trigger that is always on, of two', "order by g.tgenabled <> 'A'", ''),
  triggers('a trigger of every change', 'g.tgtype = guarded.kind', 'true'),
  triggers(
    'the trigger of program_terms',
    "('program_terms', 'referral_private.guard_terms'),",
    '',
  ),
  triggers('the trigger of codes', "('codes', 'referral_private.guard_code'),", ''),
  triggers(
    'the trigger of decisions',
    "('decisions', 'referral_private.guard_decision')",
    "('codes', 'referral_private.guard_code')",
  ),
  triggers('a trigger for some rows', 'g.tgqual is null and', ''),
  triggers('a trigger of some columns', "and g.tgattr = ''", ''),
  triggers('a trigger that refuses', 'g.tgfoid = guarded.guard', 'true'),
  accounts('a balance that is too low', 'summed.amount <> a.balance', 'summed.amount < a.balance'),
  accounts('a balance that is too high', 'summed.amount <> a.balance', 'summed.amount > a.balance'),
  accounts('debits', '-d.amount', 'd.amount'),
  accounts(
    'entries of the currency',
    'and c.currency = a.currency and c.livemode',
    'and c.livemode',
  ),
  accounts(
    'entries of the mode',
    'and c.currency = a.currency and c.livemode = a.livemode',
    'and c.currency = a.currency',
  ),
  accounts(
    'debits of the currency',
    'and d.currency = a.currency and d.livemode',
    'and d.livemode',
  ),
  accounts(
    'debits of the mode',
    'and d.currency = a.currency and d.livemode = a.livemode',
    'and d.currency = a.currency',
  ),
  accounts('accounts after the last', '> ((p_after).org_id', '>= ((p_after).org_id'),
  faults('entries of a sale', "'entries', p.org_id", "'target', p.org_id"),
  faults('a target that is not posted', "select 'target', o.org_id", "select 'entries', o.org_id"),
  faults(
    'the sign of an entry',
    'then e.amount else -e.amount end',
    'then e.amount else e.amount end',
  ),
  faults(
    'what is due and not released',
    "when p.due_at <= v_now and p.kind = 'pending' then 'available'",
    "when false then 'available'",
  ),
  faults(
    'a reward that is due',
    "when p.due_at <= v_now and p.kind = 'reward_pending' then 'reward_available'",
    "when false then 'available'",
  ),
  faults('a due time', "or a.fault = 'due'", 'or false'),
  faults(
    'a due time that is missing',
    'p.due_at is distinct from o.available_at',
    'p.due_at <> o.available_at',
  ),
  faults('too little', 'sum(a.expected) <> sum(a.found)', 'sum(a.expected) < sum(a.found)'),
  faults('too much', 'sum(a.expected) <> sum(a.found)', 'sum(a.expected) > sum(a.found)'),
  sales(
    'postings of no sale',
    'from referral_private.postings as p\n        where',
    'from referral_private.postings as p\n        where false and',
  ),
  sales(
    'entries of no sale',
    'from referral_private.ledger_entries as e\n        where',
    'from referral_private.ledger_entries as e\n        where false and',
  ),
  sales(
    'sales without postings',
    'from referral_private.sales as s\n        where',
    'from referral_private.sales as s\n        where false and',
  ),
  sales(
    'the next slice',
    'when cardinality(v_keys) = p_max_rows then',
    'when cardinality(v_keys) > p_max_rows then',
  ),
  whole('triggers', 'if p_after is null then', 'if false then'),
  whole(
    'a slice without an account',
    'if p_after is not null and num_nulls(v_account.org_id, v_account.account_id) > 0 then',
    'if false then',
  ),
  whole(
    'sales after accounts',
    "coalesce(v_slice.next, jsonb_build_object('sale_id', '', 'stripe_account', '', 'livemode', false))",
    'v_slice.next',
  ),
]

const unattributed = ['tests/sql/unattributed', 'tests/properties/told']
const listed = of('unattributed', 'uncredited_sales', unattributed)
const reasons = of('unattributed', 'with_reasons', unattributed)

/** What list_unattributed shows, and why. */
export const unattributedMutations: TextMutation[] = [
  reasons('nothing names a referrer', "'no_evidence'", "'zero_amount'"),
  reasons('what it earns is nothing', "'zero_amount'", "'no_evidence'"),
  reasons('the refusal', "coalesce(t.refusal, 'zero_amount')", "'zero_amount'"),
  reasons('what waits', 'bool_or(t.amount > 0)', 'false'),
  reasons(
    'of the commission, not of the reward',
    "not in ('reward_pending', 'reward_available')",
    "in ('reward_pending', 'reward_available')",
  ),
  reasons('of this sale', 'on j.sale_id = s.sale_id and', 'on'),
  reasons('of this mode', ' and j.livemode = s.livemode', ''),
  reasons('of this account', ' and j.stripe_account = s.stripe_account', ''),
  listed('the mode', '(p_livemode is null or s.livemode = p_livemode)', 'true'),
  listed(
    'the account',
    'and (p_stripe_account is null or s.stripe_account = p_stripe_account)',
    '',
  ),
  listed('what is wholly reversed', 'and s.reversed < s.paid', ''),
  listed('what was earned and taken back', 'and p.amount > 0', ''),
  listed('what earned in the other mode', 'and p.livemode = s.livemode', ''),
  listed('what earned on another account', 'and p.stripe_account = s.stripe_account and', 'and'),
  ...['paid_at', 'sale_id', 'stripe_account', 'livemode']
    .map((column) => listed(`pages by ${column}`, `p_before.${column}`, `s.${column}`))
    .slice(1),
  listed('newest first', 'order by s.paid_at desc', 'order by s.paid_at'),
  of('unattributed', 'list_unattributed', unattributed)(
    'a place that names no sale',
    'if num_nulls(',
    'if -num_nulls(',
  ),
]
