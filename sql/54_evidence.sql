-- Who speaks for a payer: the redemptions of its users, and what its objects named. Of all evidence that is not later than
-- a sale the first wins it, by (time, priority, id); a later claim never takes what was won.

create type referral_private.payer_name as (payer_id text, name text);

-- What these payers go by: themselves, their sales, and the payments behind those. A guest's objects carry what they name
-- under these.
create function referral_private.names_of_payers(p_account text, p_livemode boolean, p_payer_ids text[])
returns setof referral_private.payer_name
language plpgsql
stable
rows 10
security invoker
set search_path = ''
as $$
declare
  v_sold referral_private.payer_name[] := array(
    select (s.payer_id, s.sale_id)::referral_private.payer_name
    from referral_private.sales as s
    where s.account = p_account and s.livemode = p_livemode and s.payer_id = any (p_payer_ids)
  );
  v_sales text[] := array(select n.name from unnest(v_sold) as n);
begin
  return query
  with
    paying as materialized (
      select s.payer_id, l.payment_key
      from referral_private.invoice_payments as l
      join unnest(v_sold) as s on s.name = l.invoice_id
      where l.account = p_account and l.livemode = p_livemode and l.invoice_id = any (v_sales)
    )
  select payer, payer from unnest(p_payer_ids) as payer
  union
  select s.payer_id, s.name from unnest(v_sold) as s
  union
  select p.payer_id, p.payment_key from paying as p
  union
  select p.payer_id, c.intent_id
  from referral_private.charges as c
  join paying as p on p.payment_key = c.charge_id
  where c.account = p_account and c.livemode = p_livemode
    and c.charge_id = any (array(select paying.payment_key from paying));
end
$$;

revoke execute on function referral_private.names_of_payers from public;

-- The payers of whom a statement has changed who they are or what speaks for them: those of the carriers that it named anew,
-- and of the sales that it touched, where anything is carried under a name of these.
create function referral_private.payers_carried(p_account text, p_livemode boolean, p_carriers text[], p_touched text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if cardinality(p_carriers) = 0 and not exists (
    select from referral_private.payer_users as l
    where l.account = p_account and l.livemode = p_livemode and l.carrier = any (p_touched)
  ) and not exists (
    select from referral_private.payer_evidence as e
    where e.account = p_account and e.livemode = p_livemode and e.carrier = any (p_touched)
  ) then
    return '{}';
  end if;
  return array(
    select s.payer_id from referral_private.sales as s
    where s.account = p_account and s.livemode = p_livemode and s.payer_id = any (p_carriers)
    union
    select s.payer_id from referral_private.sales as s
    where s.account = p_account and s.livemode = p_livemode and s.sale_id = any (p_touched)
  );
end
$$;

revoke execute on function referral_private.payers_carried from public;

-- The payers with sales that these carriers mean: a customer itself, of a sale or a payment its payer.
create function referral_private.payers_named(p_account text, p_livemode boolean, p_carriers text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if cardinality(p_carriers) = 0 then
    return '{}';
  end if;
  return referral_private.payers_carried(
    p_account, p_livemode, p_carriers, referral_private.touched_sales(p_account, p_livemode, p_carriers)
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

-- These payers and all that stand for the same person, directly or through others, whose sales are settled together: what
-- each of them goes by.
create function referral_private.linked_payers(p_account text, p_livemode boolean, p_payer_ids text[])
returns referral_private.payer_name[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_found referral_private.payer_name[];
  v_new text[] := p_payer_ids;
  v_all referral_private.payer_name[] := '{}';
  v_names text[];
  v_users uuid[];
  v_carriers text[];
begin
  while cardinality(v_new) > 0 loop
    v_found := array(select n from referral_private.names_of_payers(p_account, p_livemode, v_new) as n);
    v_all := v_all || v_found;
    v_names := array(select n.name from unnest(v_found) as n);
    v_users := array(
      select l.user_id from referral_private.payer_users as l
      where l.account = p_account and l.livemode = p_livemode and l.carrier = any (v_names)
      union
      select r.referee_id
      from referral_private.payer_evidence as e
      join referral.redemptions as r on r.id = e.named::uuid
      where e.account = p_account and e.livemode = p_livemode and e.carrier = any (v_names) and e.priority = 2
    );
    exit when cardinality(v_users) = 0;
    v_carriers := array(
      select unnest(referral_private.carriers_of_users(p_account, p_livemode, v_users))
      except
      select n.payer_id from unnest(v_all) as n
    );
    exit when cardinality(v_carriers) = 0;
    v_new := array(
      select unnest(referral_private.payers_named(p_account, p_livemode, v_carriers))
      except
      select n.payer_id from unnest(v_all) as n
    );
  end loop;
  return v_all;
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

-- All evidence of payers, given with what they go by: whom it credits, under which terms, and why that earns nothing,
-- where it does not.
create function referral_private.evidence_of(p_account text, p_livemode boolean, p_names referral_private.payer_name[])
returns setof referral_private.evidence
language plpgsql
stable
rows 10
security invoker
set search_path = ''
as $$
declare
  v_names text[] := array(select n.name from unnest(p_names) as n);
begin
  return query
  with
    -- Of several users that a payer is linked to, the first stands for it where a code alone speaks; the rules that refuse
    -- hold for all of them. Whose age is not known is no new user.
    users as materialized (
      select n.payer_id, array_agg(distinct l.user_id order by l.user_id) as ids,
        min(coalesce(l.user_created_at, '-infinity')) as oldest
      from referral_private.payer_users as l
      join unnest(p_names) as n on n.name = l.carrier
      where l.account = p_account and l.livemode = p_livemode and l.carrier = any (v_names)
      group by n.payer_id
    ),
    carried as materialized (
      select n.payer_id, e.priority, e.named, min(e.carried_at) as carried_at
      from referral_private.payer_evidence as e
      join unnest(p_names) as n on n.name = e.carrier
      where e.account = p_account and e.livemode = p_livemode and e.carrier = any (v_names)
      group by 1, 2, 3
    ),
    redeemed as (
      select claims.payer_id, min(claims.priority) as priority, claims.redemption_id
      from (
        select u.payer_id, 1 as priority, r.id as redemption_id
        from users as u
        cross join unnest(u.ids) as user_id
        join referral.redemptions as r on r.referee_id = user_id
        union all
        select c.payer_id, c.priority, c.named::uuid from carried as c where c.priority = 2
      ) as claims
      group by claims.payer_id, claims.redemption_id
    ),
    coded as (
      select c.payer_id, c.priority, coalesce(p.code_key, c.named) as code_key, min(c.carried_at) as carried_at
      from carried as c
      left join referral_private.promotion_codes as p
        on c.priority = 4 and p.promotion_code_id = c.named and p.account = p_account and p.livemode = p_livemode
      where c.priority >= 3 and (c.priority <> 4 or p.code_key is not null)
      group by 1, 2, 3
    )
  select n.payer_id, n.priority::int, r.id, date_trunc('second', r.redeemed_at), r.redeemed_at, r.org_id, r.program_id, r.terms_version,
    r.id, r.code_id, coalesce(c.beneficiary_id, r.referrer_id), r.referee_id,
    case
      when r.decision = 'rejected' then 'rejected'
      when r.referee_id = c.beneficiary_id or u.ids && array[r.referrer_id, c.beneficiary_id] then 'self_referral'
    end
  from redeemed as n
  join referral.redemptions as r on r.id = n.redemption_id
  join referral.codes as c on c.org_id = r.org_id and c.id = r.code_id
  left join users as u on u.payer_id = n.payer_id
  where referral_private.account_of(r.org_id) = p_account
  union all
  select a.payer_id, a.priority::int, c.id, a.carried_at, a.carried_at, c.org_id, c.program_id, t.version,
    null, c.id, coalesce(c.beneficiary_id, c.referrer_id), u.ids[1],
    case
      when u.ids && array[c.referrer_id, c.beneficiary_id, c.created_by] then 'self_referral'
      when exists (
        select from referral.redemptions as r
        where r.org_id = c.org_id and r.program_id = c.program_id
          and r.referee_id = c.referrer_id and r.referrer_id = any (u.ids) and date_trunc('second', r.redeemed_at) <= a.carried_at
      ) then 'mutual_referral'
      when terms.terms ? 'new_users_only_days' and not coalesce(
        u.oldest >= a.carried_at - make_interval(days => (terms.terms ->> 'new_users_only_days')::int), false
      ) then 'new_users_only'
    end
  from coded as a
  left join users as u on u.payer_id = a.payer_id
  join referral.codes as c on c.code_key = a.code_key and date_trunc('second', c.created_at) <= a.carried_at
  cross join lateral referral_private.terms_at(c.org_id, c.program_id, a.carried_at) as t (version)
  join referral.program_terms as terms
    on terms.org_id = c.org_id and terms.program_id = c.program_id and terms.version = t.version
  where referral_private.account_of(c.org_id) = p_account;
end
$$;

revoke execute on function referral_private.evidence_of from public;

-- Whether a purchase that is dated ahead, as those of test clocks are, names this before there is such a code: whoever had
-- it now would be owed what nobody has settled.
create function referral_private.is_named_ahead(p_key text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return exists (
    select from referral_private.payer_evidence as e
    left join referral_private.promotion_codes as p
      on e.priority = 4 and p.promotion_code_id = e.named and p.account = e.account and p.livemode = e.livemode
    where e.carried_at >= date_trunc('second', clock_timestamp()) and e.priority >= 3
      and coalesce(p.code_key, e.named) = p_key
  );
end
$$;

revoke execute on function referral_private.is_named_ahead from public;
