-- Who speaks for a payer: the redemptions of its users, and what its objects named. Of all evidence that is not later than
-- a sale the first wins it, by (time, priority, id); a later claim never takes what was won.

-- A payer's other names: its sales, and the payments behind them. A guest's objects carry what they name under those.
create function referral_private.names_of_payer(p_account text, p_livemode boolean, p_payer_id text)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_sales text[] := array(
    select s.sale_id from referral_private.sales as s
    where s.account = p_account and s.livemode = p_livemode and s.payer_id = p_payer_id
  );
  v_paying text[] := array(
    select l.payment_key from referral_private.invoice_payments as l
    where l.account = p_account and l.livemode = p_livemode and l.invoice_id = any (v_sales)
  );
begin
  if cardinality(v_paying) > 0 then
    v_paying := referral_private.payment_keys(p_account, p_livemode, v_paying);
  end if;
  return p_payer_id || v_sales || v_paying;
end
$$;

revoke execute on function referral_private.names_of_payer from public;

-- The payers with sales that these names mean: a customer itself, of a sale or a payment its payer.
create function referral_private.payers_named(p_account text, p_livemode boolean, p_names text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_sales text[] := referral_private.touched_sales(p_account, p_livemode, p_names);
begin
  return array(
    select s.payer_id from referral_private.sales as s
    where s.account = p_account and s.livemode = p_livemode and s.payer_id = any (p_names)
    union
    select s.payer_id from referral_private.sales as s
    where s.account = p_account and s.livemode = p_livemode and s.sale_id = any (v_sales)
  );
end
$$;

revoke execute on function referral_private.payers_named from public;

-- What carries these users: the payers that are linked to them, and those whose metadata names a redemption of theirs.
create function referral_private.carriers_of_users(p_account text, p_livemode boolean, p_user_ids uuid[])
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_redemptions text[] := array(select r.id::text from referral.redemptions as r where r.referee_id = any (p_user_ids));
begin
  return array(
    select l.carrier from referral_private.payer_users as l
    where l.account = p_account and l.livemode = p_livemode and l.user_id = any (p_user_ids)
    union
    select e.carrier from referral_private.payer_evidence as e
    where e.account = p_account and e.livemode = p_livemode and e.priority = 2 and e.named = any (v_redemptions)
  );
end
$$;

revoke execute on function referral_private.carriers_of_users from public;

-- These payers and all that stand for the same person, directly or through others: whose sales are settled together.
create function referral_private.linked_payers(p_account text, p_livemode boolean, p_payer_ids text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_payers text[] := p_payer_ids;
  v_new text[] := p_payer_ids;
  v_names text[];
  v_users uuid[];
begin
  while cardinality(v_new) > 0 loop
    v_names := array(
      select unnest(referral_private.names_of_payer(p_account, p_livemode, payer)) from unnest(v_new) as payer
    );
    v_users := array(
      select l.user_id from referral_private.payer_users as l
      where l.account = p_account and l.livemode = p_livemode and l.carrier = any (v_names)
      union
      select r.referee_id
      from referral_private.payer_evidence as e
      join referral.redemptions as r on r.id = e.named::uuid
      where e.account = p_account and e.livemode = p_livemode and e.carrier = any (v_names) and e.priority = 2
    );
    v_new := array(
      select unnest(referral_private.payers_named(
        p_account, p_livemode, referral_private.carriers_of_users(p_account, p_livemode, v_users)
      ))
      except
      select unnest(v_payers)
    );
    v_payers := v_payers || v_new;
  end loop;
  return v_payers;
end
$$;

revoke execute on function referral_private.linked_payers from public;

-- The terms of a program that were in force at a time, and none where it was switched off then. Times are compared in
-- whole seconds, as Stripe's are.
create function referral_private.terms_at(p_org_id uuid, p_program_id uuid, p_at timestamptz)
returns int
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if exists (
    select from (
      select distinct on (w.program_id) w.active from referral_private.switches as w
      where w.org_id = p_org_id and (w.program_id = p_program_id or w.program_id is null)
        and date_trunc('second', w.since) <= p_at
      order by w.program_id, w.id desc
    ) as switched
    where not switched.active
  ) then
    return null;
  end if;
  return (
    select max(t.version) from referral.program_terms as t
    where t.org_id = p_org_id and t.program_id = p_program_id and date_trunc('second', t.valid_from) <= p_at
  );
end
$$;

revoke execute on function referral_private.terms_at from public;

create type referral_private.evidence as (
  payer_id text,
  priority int,
  evidence_id uuid,
  at timestamptz,
  redeemed_at timestamptz,
  org_id uuid,
  program_id uuid,
  terms_version int,
  redemption_id uuid,
  code_id uuid,
  owner_id uuid,
  referee_id uuid,
  refusal text
);

-- All evidence of a payer, with whom it credits, under which terms, and why that earns nothing, where it does not.
create function referral_private.evidence_of(p_account text, p_livemode boolean, p_payer_id text)
returns setof referral_private.evidence
language plpgsql
stable
rows 10
security invoker
set search_path = ''
as $$
declare
  v_names text[] := referral_private.names_of_payer(p_account, p_livemode, p_payer_id);
  v_users uuid[];
  v_oldest timestamptz;
begin
  -- Of several users that a payer is linked to, the first stands for it where a code alone speaks; the rules that refuse
  -- hold for all of them. Whose age is not known is no new user.
  select array_agg(distinct l.user_id order by l.user_id), min(coalesce(l.user_created_at, '-infinity'))
  into v_users, v_oldest
  from referral_private.payer_users as l
  where l.account = p_account and l.livemode = p_livemode and l.carrier = any (v_names);

  return query
  with
    named as (
      select min(n.priority) as priority, n.redemption_id
      from (
        select 1 as priority, r.id as redemption_id
        from referral_private.payer_users as l
        join referral.redemptions as r on r.referee_id = l.user_id
        where l.account = p_account and l.livemode = p_livemode and l.carrier = any (v_names)
        union all
        select e.priority, e.named::uuid
        from referral_private.payer_evidence as e
        where e.account = p_account and e.livemode = p_livemode and e.carrier = any (v_names) and e.priority = 2
      ) as n
      group by n.redemption_id
    ),
    carried as (
      select e.priority, coalesce(p.code_key, e.named) as code_key, min(e.carried_at) as carried_at
      from referral_private.payer_evidence as e
      left join referral_private.promotion_codes as p
        on e.priority = 4 and p.account = e.account and p.livemode = e.livemode and p.promotion_code_id = e.named
      where e.account = p_account and e.livemode = p_livemode and e.carrier = any (v_names) and e.priority >= 3
        and (e.priority <> 4 or p.code_key is not null)
      group by 1, 2
    )
  select p_payer_id, n.priority::int, r.id, date_trunc('second', r.redeemed_at), r.redeemed_at, r.org_id, r.program_id, r.terms_version,
    r.id, r.code_id, coalesce(c.beneficiary_id, r.referrer_id), r.referee_id,
    case
      when r.decision = 'rejected' then 'rejected'
      when r.referee_id = c.beneficiary_id or v_users && array[r.referrer_id, c.beneficiary_id] then 'self_referral'
    end
  from named as n
  join referral.redemptions as r on r.id = n.redemption_id
  join referral.codes as c on c.org_id = r.org_id and c.id = r.code_id
  where referral_private.account_of(r.org_id) = p_account
  union all
  select p_payer_id, a.priority::int, c.id, a.carried_at, a.carried_at, c.org_id, c.program_id, t.version,
    null, c.id, coalesce(c.beneficiary_id, c.referrer_id), v_users[1],
    case
      when v_users && array[c.referrer_id, c.beneficiary_id, c.created_by] then 'self_referral'
      when exists (
        select from referral.redemptions as r
        where r.org_id = c.org_id and r.program_id = c.program_id
          and r.referee_id = c.referrer_id and r.referrer_id = any (v_users) and date_trunc('second', r.redeemed_at) <= a.carried_at
      ) then 'mutual_referral'
      when terms.terms ? 'new_users_only_days' and not coalesce(
        v_oldest >= a.carried_at - make_interval(days => (terms.terms ->> 'new_users_only_days')::int), false
      ) then 'new_users_only'
    end
  from carried as a
  join referral.codes as c on c.code_key = a.code_key and date_trunc('second', c.created_at) <= a.carried_at
  cross join lateral referral_private.terms_at(c.org_id, c.program_id, a.carried_at) as t (version)
  join referral.program_terms as terms
    on terms.org_id = c.org_id and terms.program_id = c.program_id and terms.version = t.version
  where referral_private.account_of(c.org_id) = p_account;
end
$$;

revoke execute on function referral_private.evidence_of from public;
