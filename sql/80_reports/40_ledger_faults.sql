-- What can be wrong with the ledger, and two of its checks: the triggers that guard what is written once, which a
-- restore of data alone can turn into ones that a replica skips; and the stored balances.
create type referral.ledger_fault_kind as enum ('trigger', 'balance', 'entries', 'target', 'due');

-- What is wrong. Expected and found are amounts in minor units; of a trigger, how many there are; of a due time,
-- seconds since 1970, where 0 is none.
create type referral.ledger_fault as (
  kind referral.ledger_fault_kind,
  org_id uuid,
  stripe_account text,
  livemode boolean,
  subject text,
  earner_id uuid,
  account_kind referral.account_kind,
  currency text,
  expected bigint,
  found bigint
);

-- Of a slice: how many accounts or sales were looked at, what is wrong with them, and where the next slice begins.
create type referral.ledger_slice as (checked int, faults referral.ledger_fault[], next jsonb);

-- A table whose rows are written once, and its trigger that refuses changes; no trigger where none refuses them all.
-- `mode` is that of pg_trigger.
create type referral_private.guard as (name text, relation regclass, trigger name, mode "char");

-- The tables whose rows are written once, and their partitions, with their triggers.
create function referral_private.guards()
returns setof referral_private.guard
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select coalesce(c.relname::text, guarded.name), c.oid::regclass, t.tgname, t.tgenabled
  from (
    -- Once for each statement, before update, delete and truncate.
    select name, 'referral_private.refuse_change'::regproc as guard, 2 + 8 + 16 + 32 as kind
    from unnest(
      '{ledger_entries,stripe_events,resolved_events,archived_events,recorded_facts,code_states,decision_payers,
        switches,changes}'::text[]
    ) as name
    union all
    -- For each row, before update and delete.
    select written.name, written.guard::regproc, 1 + 2 + 8 + 16
    from (
      values
        ('program_terms', 'referral_private.guard_terms'),
        ('codes', 'referral_private.guard_code'),
        ('decisions', 'referral_private.guard_decision')
    ) as written (name, guard)
  ) as guarded
  left join pg_class as whole
    on whole.relnamespace in ('referral'::regnamespace, 'referral_private'::regnamespace)
    and whole.relname = guarded.name
  left join lateral (
    select whole.oid as id
    union all
    select i.inhrelid from pg_inherits as i where i.inhparent = whole.oid
  ) as each on true
  left join pg_class as c on c.oid = each.id
  left join lateral (
    select g.tgname, g.tgenabled from pg_trigger as g
    where g.tgrelid = c.oid and g.tgfoid = guarded.guard and g.tgtype = guarded.kind
      -- Whatever the rows and columns are.
      and g.tgqual is null and g.tgattr = ''
    order by g.tgenabled <> 'A'
    limit 1
  ) as t on true;
end
$$;

-- Tables whose trigger is missing, disabled, or one that a replica skips.
create function referral_private.trigger_faults()
returns setof referral.ledger_fault
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select 'trigger'::referral.ledger_fault_kind, null::uuid, null::text, null::boolean, g.name, null::uuid,
    null::referral.account_kind, null::text, 1::bigint, 0::bigint
  from referral_private.guards() as g
  where g.mode is distinct from 'A';
end
$$;

-- A slice of the accounts after this one: the stored balance is the sum of the entries. `next` is the last account of
-- a whole slice.
create function referral_private.verify_accounts(p_after referral_private.ledger_accounts, p_max_rows int)
returns referral.ledger_slice
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_accounts referral_private.ledger_accounts[] := array(
    select a from referral_private.ledger_accounts as a
    where p_after is null or (a.org_id, a.account_id) > ((p_after).org_id, (p_after).account_id)
    order by a.org_id, a.account_id
    limit p_max_rows
  );
  v_last referral_private.ledger_accounts := v_accounts[p_max_rows];
begin
  return (
    cardinality(v_accounts),
    array(
      select (
        'balance', a.org_id, null, a.livemode, 'account ' || a.account_id, a.earner_id, a.kind, a.currency,
        summed.amount, a.balance
      )::referral.ledger_fault
      from unnest(v_accounts) as a
      cross join lateral (
        select coalesce(sum(e.amount), 0) as amount
        from (
          select c.amount from referral_private.ledger_entries as c
          where c.org_id = a.org_id and c.credit_account_id = a.account_id
            and c.currency = a.currency and c.livemode = a.livemode
          union all
          select -d.amount from referral_private.ledger_entries as d
          where d.org_id = a.org_id and d.debit_account_id = a.account_id
            and d.currency = a.currency and d.livemode = a.livemode
        ) as e
      ) as summed
      where a.kind <> 'expense' and summed.amount <> a.balance
    ),
    case
      when v_last.account_id is not null
        then jsonb_build_object('org_id', v_last.org_id, 'account_id', v_last.account_id)
    end
  )::referral.ledger_slice;
end
$$;
