-- Whom an event touches.

-- A customer, and when it first paid by the intents that were touched.
create type referral_private.paying_customer as (payer_id text collate "C", paid_at timestamptz);

-- The customers of these payments to whom it may matter that they had paid before: they have later evidence, or are
-- linked to a user who has other payers, or redeemed later.
create function referral_private.payers_with_history(p_stripe_account text, p_livemode boolean, p_touched text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_intents constant referral_private.payments[] := array(
    select p from referral_private.payments as p
    where p.payment_id = any (p_touched) and p.source = 'intent' and p.stripe_account = p_stripe_account
      and p.livemode = p_livemode and p.paid > 0 and p.customer_id is not null
  );
  v_paying referral_private.paying_customer[];
  v_first_at timestamptz;
  v_carriers referral_private.payer_carrier[];
  v_ids text[];
  v_links referral_private.payer_link[];
  v_payers text[] := '{}';
begin
  if cardinality(v_intents) = 0 then
    return '{}';
  end if;
  v_paying := array(
    select (payer, min(p.paid_at))::referral_private.paying_customer
    from unnest(v_intents) as p
    cross join lateral referral_private.customer_of(p_stripe_account, p_livemode, p.customer_id) as payer
    group by payer
  );
  v_first_at := (select min(p.paid_at) from unnest(v_paying) as p);
  v_carriers := array(
    select c from referral_private.carriers_of_payers(
      p_stripe_account, p_livemode, array(select p.payer_id from unnest(v_paying) as p)
    ) as c
  );
  v_ids := array(select c.carrier from unnest(v_carriers) as c);
  -- Most have no later evidence, and no links.
  if exists (
    select from referral_private.payer_evidence as e
    where e.carrier = any (v_ids) and e.stripe_account = p_stripe_account and e.livemode = p_livemode
      and e.carried_at > v_first_at
  ) then
    v_payers := array(
      select distinct p.payer_id
      from referral_private.payer_evidence as e
      join unnest(v_carriers) as c on c.carrier = e.carrier
      join unnest(v_paying) as p on p.payer_id = c.payer_id
      where e.carrier = any (v_ids) and e.stripe_account = p_stripe_account and e.livemode = p_livemode
        and e.carried_at > p.paid_at
    );
  end if;
  v_links := referral_private.links_of_carriers(p_stripe_account, p_livemode, v_ids);
  if cardinality(v_links) > 0 then
    v_payers := v_payers || array(
      select distinct p.payer_id
      from unnest(v_links) as l
      join unnest(v_carriers) as c on c.carrier = l.carrier
      join unnest(v_paying) as p on p.payer_id = c.payer_id
      where exists (
        select from referral.redemptions as r where r.referee_id = l.user_id and r.redeemed_at > p.paid_at
      ) or not (
        referral_private.carriers_of_users(p_stripe_account, p_livemode, array[l.user_id])
          <@ array(select o.carrier from unnest(v_carriers) as o where o.payer_id = p.payer_id)
      )
    );
  end if;
  return v_payers;
end
$$;

-- The payers who must be settled because an event changed who they are, what evidence they have, or whether they had
-- paid before: those of the carriers with a new link or new evidence, and those of the touched sales, where a touched
-- id is linked to somebody. (A sale with another object that carries evidence has changed by itself.)
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
declare
  v_payers text[] := referral_private.payers_of_carriers(p_stripe_account, p_livemode, p_carriers)
    || referral_private.payers_with_history(p_stripe_account, p_livemode, p_touched);
begin
  if cardinality(p_carriers) > 0 or exists (
    select from referral_private.payer_users as l
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.carrier = any (p_touched)
  ) then
    v_payers := v_payers || array(
      select s.payer_id from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (p_touched)
    );
  end if;
  return v_payers;
end
$$;
