-- What an owner of codes earned, what the organisation owes, and how each amount came about.

-- What one owner has, per currency, in minor units. `owed` is what they owe: `available` can be taken back after it was
-- paid out.
create function referral_private.my_earnings(p_org_id uuid, p_owner_id uuid)
returns table (currency text, pending bigint, available bigint, in_transit bigint, paid bigint, owed bigint)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_owner_id uuid := referral_private.acting_for(p_org_id, p_owner_id);
begin
  return query
  select b.currency, b.pending, b.available, b.in_transit, b.paid, b.owed
  from referral_private.balances_of(p_org_id, v_owner_id) as b;
end
$$;

revoke execute on function referral_private.my_earnings from public;

grant execute on function referral_private.my_earnings to authenticated, service_role;

-- The mode that an organisation's balances are of: live, once there is anything live; test before that.
create function referral_private.mode_of(p_org_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return exists (select from referral_private.ledger_accounts as a where a.org_id = p_org_id and a.livemode);
end
$$;

revoke execute on function referral_private.mode_of from public;

-- The balances of one owner, or of all, in an organisation.
create function referral_private.balances_of(p_org_id uuid, p_owner_id uuid)
returns table (
  owner_id uuid,
  currency text,
  pending bigint,
  available bigint,
  in_transit bigint,
  paid bigint,
  owed bigint,
  reward bigint
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return query
  select a.owner_id, a.currency,
    coalesce(sum(a.balance) filter (where a.kind = 'pending'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'available'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'in_transit'), 0)::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'paid'), 0)::bigint,
    greatest(0, -coalesce(sum(a.balance) filter (where a.kind = 'available'), 0))::bigint,
    coalesce(sum(a.balance) filter (where a.kind = 'reward'), 0)::bigint
  from referral_private.ledger_accounts as a
  where a.org_id = p_org_id and a.livemode = referral_private.mode_of(p_org_id) and a.kind <> 'expense'
    and (p_owner_id is null or a.owner_id = p_owner_id)
  group by a.owner_id, a.currency
  order by a.owner_id, a.currency;
end
$$;

revoke execute on function referral_private.balances_of from public;

-- What the organisation owes everybody: commissions per owner, and rewards of referees. For admins.
create function referral_private.org_liabilities(p_org_id uuid)
returns table (
  owner_id uuid,
  currency text,
  pending bigint,
  available bigint,
  in_transit bigint,
  paid bigint,
  owed bigint,
  reward bigint
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform referral_private.require_role(p_org_id, 'admin');
  return query select b.* from referral_private.balances_of(p_org_id, null) as b;
end
$$;

revoke execute on function referral_private.org_liabilities from public;

grant execute on function referral_private.org_liabilities to authenticated, service_role;

-- Every entry of an owner's accounts, newest first: an amount that went from one kind to another, `expense` being the
-- organisation. The balance of a kind is what came to it less what left it. Pages end with an entry id.
create function referral_private.my_statement(p_org_id uuid, p_owner_id uuid, p_after bigint, p_page_size int)
returns table (
  entry_id bigint,
  posted_at timestamptz,
  from_kind referral.account_kind,
  to_kind referral.account_kind,
  amount bigint,
  currency text,
  sale_id text,
  caused_by text
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_owner_id uuid := referral_private.acting_for(p_org_id, p_owner_id);
begin
  return query
  with
    own as (
      select a.account_id from referral_private.ledger_accounts as a
      where a.org_id = p_org_id and a.owner_id = v_owner_id and a.livemode = referral_private.mode_of(p_org_id)
    ),
    found as (
      select e.*
      from own as o
      cross join lateral (
        select d.* from referral_private.ledger_entries as d
        where d.org_id = p_org_id and d.debit_account_id = o.account_id and (p_after is null or d.entry_id < p_after)
        order by d.entry_id desc
        limit referral_private.page_size(p_page_size)
      ) as e
      union
      select e.*
      from own as o
      cross join lateral (
        select d.* from referral_private.ledger_entries as d
        where d.org_id = p_org_id and d.credit_account_id = o.account_id and (p_after is null or d.entry_id < p_after)
        order by d.entry_id desc
        limit referral_private.page_size(p_page_size)
      ) as e
    )
  select f.entry_id, f.posted_at, debit.kind, credit.kind, f.amount, f.currency, f.sale_id, f.caused_by
  from found as f
  join referral_private.ledger_accounts as debit on debit.org_id = f.org_id and debit.account_id = f.debit_account_id
  join referral_private.ledger_accounts as credit on credit.org_id = f.org_id and credit.account_id = f.credit_account_id
  order by f.entry_id desc
  limit referral_private.page_size(p_page_size);
end
$$;

revoke execute on function referral_private.my_statement from public;

grant execute on function referral_private.my_statement to authenticated, service_role;

create type referral.commission_explanation as (
  sale_id text,
  owner_id uuid,
  kind referral.account_kind,
  amount bigint,
  currency text,
  refusal text,
  arithmetic text,
  paid bigint,
  reversed bigint,
  total bigint,
  total_excluding_tax bigint,
  sale_at timestamptz,
  available_at timestamptz,
  program_id uuid,
  terms_version int,
  terms jsonb,
  evidence_at timestamptz,
  redemption_id uuid,
  code_id uuid,
  rank int,
  stated_by text[]
);

-- How a target came about, in words that can be computed by hand.
create function referral_private.arithmetic_of(p_target referral_private.target)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_sale referral_private.sales := p_target.sale;
  v_text text;
begin
  if p_target.refusal is not null then
    return '0: ' || p_target.refusal;
  end if;
  v_text := case
    when p_target.reward ->> 'kind' = 'flat' then format(
      '%s × (%s − %s) / %s', p_target.reward -> 'amount' ->> v_sale.currency, v_sale.paid, v_sale.reversed, v_sale.paid
    )
    when v_sale.total <= 0 or v_sale.total_excluding_tax is null then format(
      '(%s − %s) × %s / 10000', v_sale.paid, v_sale.reversed, p_target.reward ->> 'bps'
    )
    else format(
      '(%s − %s) × %s × %s / (%s × 10000)', v_sale.paid, v_sale.reversed, greatest(v_sale.total_excluding_tax, 0),
      p_target.reward ->> 'bps', v_sale.total
    )
  end || ', rounded half up';
  if p_target.cap is not null then
    v_text := format('%s = %s, of which %s within %s for the referral', v_text, p_target.uncapped, p_target.amount, p_target.cap);
    return v_text;
  end if;
  return format('%s = %s', v_text, p_target.amount);
end
$$;

revoke execute on function referral_private.arithmetic_of from public;

-- Why a sale earned an owner what it did: the facts, the terms, the sum, and the events that stated them. For the owner
-- their own part; for staff everybody's.
create function referral_private.explain_commission(p_org_id uuid, p_sale_id text, p_owner_id uuid)
returns setof referral.commission_explanation
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_owner_id uuid := p_owner_id;
  v_account text := referral_private.account_of(p_org_id);
begin
  if p_owner_id is not null or not referral_private.acts_with_role(p_org_id, 'coordinator') then
    v_owner_id := referral_private.acting_for(p_org_id, p_owner_id);
  end if;
  return query
  select (t.sale).sale_id, t.owner_id, t.kind, t.amount, (t.sale).currency, t.refusal, referral_private.arithmetic_of(t),
    (t.sale).paid, (t.sale).reversed, (t.sale).total, (t.sale).total_excluding_tax, (t.sale).sale_at, t.available_at,
    (t.evidence).program_id, (t.evidence).terms_version, t.terms, (t.evidence).at, (t.evidence).redemption_id,
    (t.evidence).code_id, t.rank,
    referral_private.events_of_sale(v_account, s.livemode, s.sale_id)
  from referral_private.sales as s
  cross join lateral referral_private.targets_at(v_account, s.livemode, array[s.payer_id], clock_timestamp()) as t
  where s.account = v_account and s.sale_id = p_sale_id and (t.sale).sale_id = p_sale_id and (t.evidence).org_id = p_org_id
    and (v_owner_id is null or t.owner_id = v_owner_id);
end
$$;

revoke execute on function referral_private.explain_commission from public;

grant execute on function referral_private.explain_commission to authenticated, service_role;

-- The events and records from which a sale's amounts are taken.
create function referral_private.events_of_sale(p_account text, p_livemode boolean, p_sale_id text)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_keys text[] := referral_private.payment_keys(p_account, p_livemode, array[p_sale_id] || array(
    select l.payment_key from referral_private.invoice_payments as l
    where l.account = p_account and l.livemode = p_livemode and l.invoice_id = p_sale_id
  ));
begin
  return array(
    select p.stated_by from referral_private.payments as p
    where p.account = p_account and p.livemode = p_livemode and p.payment_id = any (v_keys)
    union
    select r.stated_by from referral_private.refunds as r
    where r.account = p_account and r.livemode = p_livemode and r.payment_key = any (v_keys)
    union
    select d.stated_by from referral_private.disputes as d
    where d.account = p_account and d.livemode = p_livemode and d.payment_key = any (v_keys)
    union
    select n.stated_by from referral_private.credit_notes as n
    where n.account = p_account and n.livemode = p_livemode and n.invoice_id = p_sale_id
    order by 1
  );
end
$$;

revoke execute on function referral_private.events_of_sale from public;

-- Moves commissions whose hold is over from pending to available: at most `p_limit` sales of one Stripe account a call, so
-- that its lock is held shortly. Answers how many it looked at; call again until that is 0.
create function referral_private.release_due_commissions(p_limit int)
returns int
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_account text;
  v_due record;
  v_released int := 0;
begin
  for v_account in
    select p.account from referral_private.postings as p
    where p.kind = 'pending' and p.amount > 0 and p.due_at <= clock_timestamp()
    group by p.account
    order by min(p.due_at)
  loop
    -- An account that is busy is left for the next time.
    continue when not pg_try_advisory_xact_lock(referral_private.account_lock_key(v_account));
    for v_due in
      select due.livemode, array_agg(distinct s.payer_id) as payers, count(*) as sales
      from (
        select p.livemode, p.sale_id
        from referral_private.postings as p
        where p.account = v_account and p.kind = 'pending' and p.amount > 0 and p.due_at <= clock_timestamp()
        order by p.due_at
        limit least(greatest(p_limit, 0), 500)
      ) as due
      join referral_private.sales as s on s.account = v_account and s.livemode = due.livemode and s.sale_id = due.sale_id
      group by due.livemode
    loop
      perform referral_private.settle(v_account, v_due.livemode, v_due.payers, '{}', 'release');
      v_released := v_released + v_due.sales;
    end loop;
    exit when v_released > 0;
  end loop;
  return v_released;
end
$$;

revoke execute on function referral_private.release_due_commissions from public;

grant execute on function referral_private.release_due_commissions to service_role;
