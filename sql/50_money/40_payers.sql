-- Which payers are one person, and under which carriers their links and evidence are stored.

-- A carrier of a payer's: the payer itself, one of its sales, or a payment behind one. A guest's objects carry what
-- they name under the sale or the payment.
create type referral_private.payer_carrier as (payer_id text, carrier text);

create function referral_private.carriers_of_payers(p_stripe_account text, p_livemode boolean, p_payer_ids text[])
returns setof referral_private.payer_carrier
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sold referral_private.payer_carrier[] := array(
    select (s.payer_id, s.sale_id)::referral_private.payer_carrier
    from referral_private.sales as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.payer_id = any (p_payer_ids)
  );
  v_sales text[] := array(select s.carrier from unnest(v_sold) as s);
begin
  return query
  with
    paying as materialized (
      select s.payer_id, l.payment_key
      from referral_private.invoice_payments as l
      join unnest(v_sold) as s on s.carrier = l.invoice_id
      where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.invoice_id = any (v_sales)
    )
  select payer, payer from unnest(p_payer_ids) as payer
  union
  select s.payer_id, s.carrier from unnest(v_sold) as s
  union
  select p.payer_id, p.payment_key from paying as p
  union
  select p.payer_id, c.intent_id
  from referral_private.charges as c
  join paying as p on p.payment_key = c.charge_id
  where c.stripe_account = p_stripe_account and c.livemode = p_livemode
    and c.charge_id = any (array(select paying.payment_key from paying));
end
$$;

-- The payers who must be settled because an event changed who they are, or what evidence they have: those of the
-- carriers with a new link or new evidence, and those of the touched sales, where a touched id carries anything.
create function referral_private.payers_touched(
  p_stripe_account text,
  p_livemode boolean,
  p_carriers text[],
  p_touched text[]
)
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if cardinality(p_carriers) = 0 and not exists (
    select from referral_private.payer_users as l
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.carrier = any (p_touched)
  ) and not exists (
    select from referral_private.payer_evidence as e
    where e.stripe_account = p_stripe_account and e.livemode = p_livemode and e.carrier = any (p_touched)
  ) then
    return '{}';
  end if;
  return array(
    select s.payer_id from referral_private.sales as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.payer_id = any (p_carriers)
    union
    select s.payer_id from referral_private.sales as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (p_touched)
  );
end
$$;

-- The payers with sales to whom these carriers belong.
create function referral_private.payers_of_carriers(p_stripe_account text, p_livemode boolean, p_carriers text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if cardinality(p_carriers) = 0 then
    return '{}';
  end if;
  return referral_private.payers_touched(
    p_stripe_account, p_livemode, p_carriers,
    referral_private.touched_sales(p_stripe_account, p_livemode, p_carriers)
  );
end
$$;

-- The carriers of users: those that are linked to them, and those whose metadata names a redemption of theirs.
create function referral_private.carriers_of_users(p_stripe_account text, p_livemode boolean, p_user_ids uuid[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_redemptions text[] := array(
    select r.id::text from referral.redemptions as r where r.referee_id = any (p_user_ids)
  );
begin
  return array(
    select l.carrier from referral_private.payer_users as l
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.user_id = any (p_user_ids)
    union
    select e.carrier from referral_private.payer_evidence as e
    where e.stripe_account = p_stripe_account and e.livemode = p_livemode and e.kind = 'redemption_id'
      and e.named = any (v_redemptions)
  );
end
$$;

-- The users of carriers: those that are linked to them, and the referees of the redemptions that their metadata names.
create function referral_private.users_of_carriers(p_stripe_account text, p_livemode boolean, p_carriers text[])
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select l.user_id from referral_private.payer_users as l
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.carrier = any (p_carriers)
    union
    select r.referee_id
    from referral_private.payer_evidence as e
    join referral.redemptions as r on r.id = e.named::uuid
    where e.stripe_account = p_stripe_account and e.livemode = p_livemode and e.carrier = any (p_carriers)
      and e.kind = 'redemption_id'
  );
end
$$;

-- These payers and all who are the same person, directly or through others, with their carriers: their sales are
-- settled together.
create function referral_private.linked_payers(p_stripe_account text, p_livemode boolean, p_payer_ids text[])
returns referral_private.payer_carrier[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_new text[] := p_payer_ids;
  v_found referral_private.payer_carrier[];
  v_all referral_private.payer_carrier[] := '{}';
  v_users uuid[];
  v_carriers text[];
begin
  while cardinality(v_new) > 0 loop
    v_found := array(select f from referral_private.carriers_of_payers(p_stripe_account, p_livemode, v_new) as f);
    v_all := v_all || v_found;
    v_users := referral_private.users_of_carriers(
      p_stripe_account, p_livemode, array(select f.carrier from unnest(v_found) as f)
    );
    exit when cardinality(v_users) = 0;
    v_carriers := array(
      select unnest(referral_private.carriers_of_users(p_stripe_account, p_livemode, v_users))
      except
      select a.payer_id from unnest(v_all) as a
    );
    exit when cardinality(v_carriers) = 0;
    v_new := array(
      select unnest(referral_private.payers_of_carriers(p_stripe_account, p_livemode, v_carriers))
      except
      select a.payer_id from unnest(v_all) as a
    );
  end loop;
  return v_all;
end
$$;
