import type { TextMutation } from './mutation.ts'

const tests = ['tests/security/session-times', 'tests/security/session-settings']

/** No result depends on the settings of the caller's session. */
export const sessionMutations: TextMutation[] = [
  {
    name: 'session: an interval by the calendar of UTC',
    in: 'later',
    replace: "return (p_at at time zone 'utc' + p_by) at time zone 'utc';",
    by: 'return p_at + p_by;',
    tests,
  },
  {
    name: 'session: the days of a conversion window',
    in: 'fits',
    replace: "'conversion_window_days')::int * interval '24 hours'",
    by: "'conversion_window_days')::int * interval '1 day'",
    tests,
  },
  {
    name: 'session: the days of a hold',
    in: 'offers_of',
    replace: "'hold_days')::int * interval '24 hours'",
    by: "'hold_days')::int * interval '1 day'",
    tests,
  },
  {
    name: 'session: the days of a new user who redeems',
    in: 'require_new_user',
    replace: "::int * interval '24 hours'",
    by: "::int * interval '1 day'",
    tests,
  },
  {
    name: 'session: the days of a new user who pays',
    in: 'evidence_refusal',
    replace: "'new_users_only_days')::int * interval '24 hours'",
    by: "'new_users_only_days')::int * interval '1 day'",
    tests,
  },
  {
    name: 'session: the days after which a redemption expires',
    in: 'expire_redemptions',
    replace: "::int * interval '24 hours'",
    by: "::int * interval '1 day'",
    tests,
  },
  {
    name: 'session: the hour of a rate limit',
    in: 'count_within',
    replace: "date_trunc('hour', clock_timestamp(), 'UTC')",
    by: "date_trunc('hour', clock_timestamp())",
    tests,
  },
  {
    name: 'session: the hour of a past rate limit',
    in: 'purge_rate_limits',
    replace: "date_trunc('hour', clock_timestamp(), 'UTC')",
    by: "date_trunc('hour', clock_timestamp())",
    tests,
  },
  {
    name: 'session: the times of imported codes',
    in: 'import_codes',
    replace: 'SET "TimeZone" TO \'UTC\'',
    by: '',
    tests,
  },
  {
    name: 'session: the intervals of settings',
    in: 'changed_organisation',
    replace: 'SET "IntervalStyle" TO \'postgres\'',
    by: '',
    tests,
  },
  {
    name: 'session: the bounds of partitions',
    in: 'make_month',
    replace: 'SET "DateStyle" TO \'ISO\'',
    by: '',
    tests,
  },
  {
    name: 'session: the search path of a definer function',
    in: 'get_active_code',
    replace: "SET search_path TO 'pg_catalog', 'pg_temp'",
    by: "SET search_path TO ''",
    tests: ['tests/security/search-path', 'tests/security/grants'],
  },
]

/** What the functions of the API and their pages refuse. */
export const refusalMutations: TextMutation[] = [
  {
    name: 'page: an unknown redemption',
    in: 'position_after',
    replace:
      "perform referral_private.raise_error('invalid_argument', 'after: the id of the last row of the page before');",
    by: "return ('-infinity', null)::referral_private.page_position;",
  },
  {
    name: 'page: of another organisation',
    in: 'position_after',
    replace: 'where r.org_id = p_org_id and r.id = p_after',
    by: 'where r.id = p_after',
  },
  {
    name: 'page: an unknown event',
    in: 'list_parked_events',
    replace:
      "perform referral_private.raise_error('invalid_argument', 'after_event: the last event_id of the page before');",
    by: 'return;',
  },
  {
    name: 'violation: the rule of a unique key',
    in: 'raise_violation',
    replace: "when 'codes_one_active' then 'active_code_exists'",
    by: '',
  },
  {
    name: 'violation: a value that a check refuses',
    in: 'raise_violation',
    replace: "if p_schema = 'referral' or",
    by: 'if false or',
  },
  {
    name: 'violation: what the argument must be',
    in: 'raise_violation',
    replace: 'referral_private.rule_of(p_schema, p_constraint),',
    by: '',
    tests: ['tests/sql/violations'],
  },
  {
    name: 'violation: a defect is not hidden',
    in: 'raise_violation',
    replace: "if p_schema = 'referral' or",
    by: 'if true or',
  },
]
