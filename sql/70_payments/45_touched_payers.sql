-- Whom an event touches.

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
      and p.livemode = p_livemode
  );
begin
  if cardinality(v_intents) = 0 then
    return '{}';
  end if;
  return array(
    select distinct payer
    from unnest(v_intents) as p
    cross join lateral referral_private.customer_of(p_stripe_account, p_livemode, p.customer_id) as payer
    cross join lateral (
      select array_agg(c.carrier) as ids
      from referral_private.carriers_of_payers(p_stripe_account, p_livemode, array[payer]) as c
    ) as carriers
    where p.paid > 0 and p.customer_id is not null
      and (
        exists (
          select from referral_private.payer_evidence as e
          where e.carrier = any (carriers.ids) and e.stripe_account = p_stripe_account and e.livemode = p_livemode
            and e.carried_at > p.paid_at
        ) or exists (
          select from unnest(referral_private.links_of_carriers(p_stripe_account, p_livemode, carriers.ids)) as l
          where exists (
            select from referral.redemptions as r where r.referee_id = l.user_id and r.redeemed_at > p.paid_at
          ) or not (
            referral_private.carriers_of_users(p_stripe_account, p_livemode, array[l.user_id]) <@ carriers.ids
          )
        )
      )
  );
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
