import type { TextMutation } from './mutation.ts'

const sql = ['tests/sql/archived-events']
const race = ['tests/concurrency/archiving']

/** Promises about months that are taken out of the inbox. */
export const inboxMutations: TextMutation[] = [
  {
    name: 'archived events: duplicates',
    in: 'receive',
    replace: 'where not exists (',
    by: 'where true or not exists (',
    tests: sql,
  },
  {
    name: 'archived events: an event that comes while keys are copied',
    in: 'begin_archiving',
    replace: "execute format(\n    'create trigger",
    by: "perform format(\n    'create trigger",
    tests: [...sql, ...race],
  },
  {
    name: 'archived events: every key',
    in: 'copy_keys',
    replace: 'p.created_at > $1 and p.created_at <= $2',
    by: 'p.created_at > $1 and p.created_at < $2',
    tests: sql,
  },
  {
    name: 'archived events: parked ones keep their month',
    in: 'has_open_events',
    replace: 'select from referral_private.parked_events as p where',
    by: 'select from referral_private.parked_events as p where false and',
    tests: sql,
  },
  {
    name: 'archived events: waiting ones keep their month',
    in: 'has_open_events',
    replace: 'select from referral_private.unapplied_events as u where',
    by: 'select from referral_private.unapplied_events as u where false and',
    tests: sql,
  },
  {
    name: 'archived events: what came since keeps its month',
    in: 'take_month_out',
    replace: 'if referral_private.has_open_events(p_month) then',
    by: 'if false then',
    tests: race,
  },
  {
    name: 'archived events: the inbox is locked before its partitions',
    in: 'maintain_events',
    replace: 'or v_has_begun',
    by: '',
    tests: sql,
  },
  {
    name: 'archived events: the retention',
    in: 'maintain_events',
    replace: "at time zone 'utc' <= v_kept_from",
    by: "at time zone 'utc' <= clock_timestamp()",
    tests: sql,
  },
  {
    name: 'inbox: a partition is append-only',
    in: 'make_event_months',
    replace: 'before update or delete or truncate on',
    by: 'before update or truncate on',
    tests: sql,
  },
  {
    name: 'ledger: the triggers of partitions are verified',
    in: 'guards',
    replace: 'where i.inhparent = whole.oid',
    by: 'where false',
    tests: sql,
  },
]
