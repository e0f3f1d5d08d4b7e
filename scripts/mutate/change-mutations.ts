import type { TextMutation } from './mutation.ts'

const tests = ['tests/sql/changes', 'tests/security/calls']

const change = (name: string, target: string, replace: string, by: string): TextMutation => ({
  name: `changes: ${name}`,
  in: target,
  replace,
  by,
  tests,
})

const difference = (name: string, replace: string, by: string) =>
  change(name, 'record_difference', replace, by)
const listed = (name: string, replace: string, by: string) =>
  change(name, 'list_changes', replace, by)
const zone = 'SET "TimeZone" TO \'UTC\''

/** What staff and the operator change is on record, and who reads it. */
export const changeMutations: TextMutation[] = [
  difference('the actor', 'auth.uid()', 'null'),
  difference('the role of a session without one', ", 'none'), session_user", ", 'none'), 'x'"),
  difference('the role of the database', "nullif(current_setting('role'), 'none')", 'null'),
  difference(
    'the columns that differ',
    "where coalesce(was.value, 'null') <> coalesce(is_now.value, 'null') or",
    'where true or',
  ),
  difference('columns that were null', "is_now.value, 'null') or key", "is_now.value, '0') or key"),
  difference('a reason that stays', 'or key = p_with', 'or false'),
  difference('a reason that was given', "and is_now.value <> 'null'", ''),
  difference('a change that changes nothing', 'having bool_or(', 'having true or bool_or('),
  difference('nothing before what is made', ' filter (where p_before is not null)', ''),
  difference('nothing after what is removed', ' filter (where p_after is not null)', ''),
  change('a time of the record’s own', 'record_change', "'created_at', 'updated_at'", "'x'"),
  change('no name of who is removed', 'record_change', "|| 'display_name'::text", ''),
  change('intervals as ever', 'record_change', 'SET "IntervalStyle" TO \'postgres\'', ''),
  change('times of rows in UTC', 'record_change', zone, ''),
  change('times of codes in UTC', 'recorded_code', zone, ''),
  change('times of batches in UTC', 'generate_codes', zone, ''),
  change('the terms before', 'record_terms', 'new.version - 1', 'new.version - 2'),
  change('the limit of a code', 'recorded_code', 'q.max_uses', 'null::int'),
  change(
    'what a referrer does',
    'record_code',
    "referral_private.acts_with_role(new.org_id, 'coordinator')",
    'true',
  ),
  change('a limit of the code in use', 'record_limit', "in ('active', 'suspended')", 'is not null'),
  change('a limit of the code', 'record_limit', 'and c.quota_id = new.quota_id', ''),
  change('fifty names', 'require_name_allowance', '> 50', '> 49'),
  change('no more names', 'require_name_allowance', '> 50', '> 51'),
  change('names of a day', 'require_name_allowance', "'24 hours'", "'25 hours'"),
  change(
    'names, not rights',
    'require_name_allowance',
    'and c.before ?|',
    'and true or c.after ?|',
  ),
  change(
    'names of the member',
    'require_name_allowance',
    'and c.subject_id = p_member.user_id',
    '',
  ),
  listed('of one organisation', 'where c.org_id = p_org_id and (p_after', 'where (p_after'),
  listed(
    'after one of the organisation',
    'where c.org_id = p_org_id and c.id = p_after',
    'where c.id = p_after',
  ),
  listed('for admins', "'admin'", "'coordinator'"),
  listed('of one subject', '(p_subject_id is null or c.subject_id = p_subject_id)', 'true'),
  listed('by one person', '(p_actor_id is null or c.actor_id = p_actor_id)', 'true'),
  listed('after the last', 'c.id < p_after', 'c.id <= p_after'),
  listed('newest first', 'order by c.id desc', 'order by c.id'),
]
