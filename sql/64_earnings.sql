-- What an owner of codes earned, and what the organisation owes.

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
