-- Stores what a Stripe event says about promotion codes.

-- A discount that a customer, or an account, got by a promotion code is evidence from then on.
create function referral_private.state_discount(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_discount jsonb := p_stated.object;
  v_carrier text := coalesce(v_discount ->> 'customer', v_discount ->> 'customer_account');
  v_touched referral_private.touched := ('{}'::text[], referral_private.state_customer_account(p_stated));
begin
  if v_carrier is null or v_discount ->> 'promotion_code' is null then
    return v_touched;
  end if;
  insert into referral_private.payer_evidence (stripe_account, livemode, carrier, kind, named, object_id, carried_at)
  values (
    p_stated.stripe_account, p_stated.livemode, v_carrier, 'promotion_code',
    v_discount ->> 'promotion_code', v_discount ->> 'id', to_timestamp((v_discount ->> 'start')::bigint)
  )
  on conflict do nothing;
  if found then
    v_touched.carriers := v_touched.carriers || v_carrier;
  end if;
  return v_touched;
end
$$;

-- The payments of which these objects are a part, or which they name: sessions name their own, and those of their
-- subscription.
create function referral_private.payments_of_objects(p_stripe_account text, p_livemode boolean, p_object_ids text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sessions referral_private.sessions[] := array(
    select s from referral_private.sessions as s
    where s.session_id = any (p_object_ids) and s.stripe_account = p_stripe_account and s.livemode = p_livemode
  );
begin
  return p_object_ids || array(
    select id
    from unnest(v_sessions) as s
    cross join lateral unnest(array[s.intent_id, s.invoice_id]) as id
    where id is not null
    union
    select p.payment_id from referral_private.payments as p
    where p.subscription_id = any (array(select s.subscription_id from unnest(v_sessions) as s))
      and p.stripe_account = p_stripe_account and p.livemode = p_livemode
  );
end
$$;

-- Which of our codes a promotion code belongs to. Payers who used it are settled too, unless the event states what is
-- known: Stripe does so with every use. Before a statement of the same second it can say something else of the time
-- before. What an object carries also says whose sale it is, whoever pays: its payments are touched, too.
create function referral_private.state_promotion_code(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_evidence referral_private.payer_evidence[];
  v_promotion jsonb := p_stated.object;
  v_previous jsonb := p_stated.previous -> 'metadata';
  v_key text := referral_private.normalise_code(v_promotion -> 'metadata' ->> 'referral_code');
  v_known text := referral_private.promotion_key_at(
    p_stated.stripe_account, p_stated.livemode, v_promotion ->> 'id', p_stated.event_at
  );
begin
  insert into referral_private.promotion_code_statements (
    stripe_account, livemode, promotion_code_id, stated_at, stated_by, code_key, states_previous, previous_key
  )
  values (
    p_stated.stripe_account, p_stated.livemode, v_promotion ->> 'id', p_stated.event_at, p_stated.event_id, v_key,
    coalesce(v_previous ? 'referral_code', false), referral_private.normalise_code(v_previous ->> 'referral_code')
  )
  on conflict do nothing;
  v_evidence := array(
    select e from referral_private.payer_evidence as e
    where e.stripe_account = p_stated.stripe_account and e.livemode = p_stated.livemode
      and e.kind = 'promotion_code' and e.named = v_promotion ->> 'id'
      and (
        v_key is distinct from v_known
        or v_previous ? 'referral_code'
        or exists (
          select from referral_private.promotion_code_statements as s
          where s.promotion_code_id = e.named and s.stripe_account = p_stated.stripe_account
            and s.livemode = p_stated.livemode and s.stated_at = p_stated.event_at
            and s.stated_by > p_stated.event_id
        )
      )
  );
  return (
    referral_private.payments_of_objects(
      p_stated.stripe_account, p_stated.livemode, array(select distinct e.object_id from unnest(v_evidence) as e)
    ), array(select distinct e.carrier from unnest(v_evidence) as e)
  )::referral_private.touched;
end
$$;
