/** Promises of tables that no single constraint or trigger holds. */
import type { Mutation } from './mutation.ts'

const appendOnly = [
  'ledger_entries',
  'stripe_events',
  'resolved_events',
  'recorded_facts',
  'code_states',
  'decision_payers',
  'switches',
  'changes',
]

const inbox = 'alter table referral_private.stripe_events'
const parts = ['created_at', 'event_id', 'stripe_account', 'livemode']

/** The inbox, with another key. */
const keyed = (name: string, columns: string[]): Mutation => ({
  name: `inbox: ${name}`,
  sql: `${inbox} drop constraint stripe_events_pkey cascade;
    ${inbox} add constraint stripe_events_pkey primary key (${columns.join(', ')})`,
  tests: ['tests/sql/inbox'],
})

export const schemaMutations: Mutation[] = [
  ...appendOnly.map((table) => ({
    name: `append-only: ${table}, but for a replica`,
    sql: `alter table referral_private.${table} enable trigger ${table}_are_append_only`,
    tests: ['tests/sql/verified-triggers'],
  })),
  {
    name: 'append-only: program_terms, but for a replica',
    sql: 'alter table referral.program_terms enable trigger program_terms_are_immutable',
    tests: ['tests/sql/verified-triggers'],
  },
  // Postgres refuses a key without created_at, by which the inbox is partitioned.
  ...parts
    .filter((left) => left !== 'created_at')
    .map((left) =>
      keyed(
        `a key without ${left}`,
        parts.filter((part) => part !== left),
      ),
    ),
  keyed('a key with the time of receipt', [...parts, 'received_at']),
  ...['<= 1', '>= 1'].map((bound) => ({
    name: `ledger entries: ${bound === '<= 1' ? 'of nothing' : 'of two things'}`,
    sql: `alter table referral_private.ledger_entries drop constraint ledger_entries_belong_to_one_thing,
      add constraint ledger_entries_belong_to_one_thing check (num_nonnulls(sale_id, payout_id, adjustment_id) ${bound})`,
    tests: ['tests/sql/ledger', 'tests/schema/constraints'],
  })),
]
