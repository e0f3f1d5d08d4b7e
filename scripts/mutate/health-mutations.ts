import type { TextMutation } from './mutation.ts'

const of = (name: string, check: string, replace: string, by: string): TextMutation => ({
  name: `health: ${name}`,
  in: check,
  replace,
  by,
})

/** Who is told, and what each check looks at. */
export const healthMutations: TextMutation[] = [
  of(
    'admins only',
    'health',
    "perform referral_private.require_role(p_org_id, 'admin');",
    "perform referral_private.require_role(p_org_id, 'coordinator');",
  ),
  of(
    'everything is the operator’s',
    'health',
    'if p_org_id is not null or not referral_private.is_operator() then',
    'if p_org_id is not null then',
  ),
  of('a deactivated admin', 'check_admin', 'and m.deactivated_at is null', ''),
  of(
    'an admin without a user',
    'check_admin',
    'and not exists (select from auth.users as u where u.id = any (v_admin_ids))',
    'and false',
  ),
  of('codes past their time', 'check_codes', 'and coalesce(c.expires_at > now(), true)', ''),
  of('an organisation that is off', 'check_program', 'not p_organisation.active', 'false'),
  of('a default program that is off', 'check_program', 'not v_default.active', 'false'),
  of('links of the project open no app', 'check_destinations', 'p_organisation.link_origin', "''"),
  of(
    'redemptions of other organisations',
    'check_pending_past_window',
    'where p_org_id is null or t.org_id = p_org_id',
    '',
  ),
  of(
    'redemptions whose window is not over',
    'check_pending_past_window',
    "and r.redeemed_at < v_hour_ago - (t.terms ->> 'conversion_window_days')::int * interval '24 hours'",
    '',
  ),
  of(
    'sales of other organisations',
    'recent_sales',
    'newest.org_id is null and newest.stripe_account = v_account',
    'newest.stripe_account = v_account',
  ),
  of('sales of a shared account', 'account_of_one', 'and o.id <> p_organisation.id', 'and false'),
  of(
    'sales of test mode',
    'recent_sales',
    'where m.livemode = (select bool_or(l.livemode) from meant as l)',
    '',
  ),
  of('sales of long ago', 'recent_sales', 'where d.paid_at >= v_since', ''),
  of('sales without a redemption', 'check_unattributed', 'and v_has_redemption', ''),
  of('jobs that no longer run', 'check_jobs', 'v_last < v_hour_ago', 'false'),
  of('jobs that fail', 'check_jobs', 'v_failed is not null', 'false'),
  of(
    'a settlement that waits',
    'check_settlement',
    "interval '10 minutes'",
    "interval '8 minutes'",
  ),
  of(
    'payers that wait',
    'check_settlement',
    'from referral_private.to_settle as q order',
    'from referral_private.to_settle as q where false order',
  ),
  of(
    'a month that the default partition keeps',
    'missing_months',
    'and not referral_private.is_kept_by_default(p_table, ahead.month)',
    '',
  ),
  ...['p.due_at < v_hour_ago', 'c.expires_at < v_hour_ago', 'r.expires_at < v_hour_ago'].map(
    (due) => of(`an hour: ${due}`, 'checks_of_overdue', due, due.replace('v_hour_ago', 'now()')),
  ),
  of('the statements that mend triggers', 'check_ledger_triggers', 'enable always', 'enable'),
  of(
    'triggers that are missing',
    'check_ledger_triggers',
    'filter (where g.trigger is null)',
    'filter (where false)',
  ),
  of('parked events of test mode', 'checks_of_events', 'where e.livemode limit', 'limit'),
  of(
    'the last event',
    'checks_of_events',
    'order by e.created_at desc limit 1',
    'order by e.created_at limit 1',
  ),
  of('organisations that are off', 'checks_of_organisations', 'where o.active order', 'order'),
]
