-- Stores what a Stripe event says about the payer. functions/stripe-webhook has reduced each object to the fields
-- that are read here. Of several versions of a fact the greatest is kept: `from unnest(array[known, excluded])`.

-- What an event touched: invoices, intents and charges whose sales it may change, and the carriers that got a link to
-- a user, or evidence, which they did not have.
create type referral_private.touched as (payment_ids text[], carriers text[]);

create type referral_private.stated_event as (
  stripe_account text,
  livemode boolean,
  event_id text,
  event_at timestamptz,
  object jsonb
);

-- A charge is its intent's, wherever both are named. Returns those of the two that are named.
create function referral_private.relate_charge(p_stated referral_private.stated_event, p_charge text, p_intent text)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_charge is not null and p_intent is not null then
    insert into referral_private.charges (stripe_account, livemode, charge_id, intent_id)
    values (p_stated.stripe_account, p_stated.livemode, p_charge, p_intent)
    on conflict do nothing;
  end if;
  return array_remove(array[p_charge, p_intent], null);
end
$$;

-- Stores the users that an object links its carriers to. What a buyer can edit (`client_reference_id` behind a
-- payment link) never names a user. Returns the carriers with a new link.
create function referral_private.state_users(
  p_stated referral_private.stated_event,
  p_carriers text[],
  p_metadata jsonb
)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object jsonb := p_stated.object;
  v_users uuid[] := array_remove(array[
    referral_private.as_uuid(p_metadata ->> 'referral_user_id'),
    case
      when v_object ->> 'payment_link' is null then referral_private.as_uuid(v_object ->> 'client_reference_id')
    end
  ], null);
  v_linked text[];
begin
  if cardinality(v_users) = 0 then
    return '{}';
  end if;
  with linked as (
    insert into referral_private.payer_users as l (stripe_account, livemode, carrier, user_id, user_created_at)
    select distinct p_stated.stripe_account, p_stated.livemode, carrier, user_id, u.created_at
    from unnest(p_carriers) as carrier
    cross join unnest(v_users) as user_id
    left join auth.users as u on u.id = user_id
    where carrier is not null
    on conflict on constraint payer_users_pkey do update
    set user_created_at = excluded.user_created_at
    where l.user_created_at is null and excluded.user_created_at is not null
    returning l.carrier
  )
  select array_agg(l.carrier) into v_linked from linked as l;
  return coalesce(v_linked, '{}');
end
$$;

-- Stores the evidence that an object gives its carriers: a redemption, a code, promotion codes. Returns the carriers
-- with new evidence.
create function referral_private.state_evidence(
  p_stated referral_private.stated_event,
  p_carriers text[],
  p_metadata jsonb
)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object jsonb := p_stated.object;
  v_reference text := v_object ->> 'client_reference_id';
  v_evident text[];
begin
  if v_reference is null and not v_object ? 'discounts'
    and not coalesce(p_metadata ?| '{referral_redemption_id,referral_code}'::text[], false)
  then
    return '{}';
  end if;
  with
    named as (
      select 'redemption_id'::referral_private.evidence_kind as kind,
        referral_private.as_uuid(p_metadata ->> 'referral_redemption_id')::text as named
      union all
      select 'metadata_code', referral_private.normalise_code(p_metadata ->> 'referral_code')
      union all
      select 'promotion_code', d.discount ->> 'promotion_code'
      from jsonb_array_elements(coalesce(nullif(v_object -> 'discounts', 'null'), '[]')) as d (discount)
      union all
      select 'client_reference', referral_private.normalise_code(v_reference)
      where referral_private.as_uuid(v_reference) is null
    ),
    evident as (
      insert into referral_private.payer_evidence as e (
        stripe_account, livemode, carrier, kind, named, object_id, carried_at
      )
      select p_stated.stripe_account, p_stated.livemode, carrier, n.kind, n.named, v_object ->> 'id',
        to_timestamp((v_object ->> 'created')::bigint)
      from unnest(p_carriers) as carrier
      cross join named as n
      where carrier is not null and n.named is not null
      on conflict do nothing
      returning e.carrier
    )
  select array_agg(e.carrier) into v_evident from evident as e;
  return coalesce(v_evident, '{}');
end
$$;

-- Stores both for an object, and returns the carriers for which any of it is new.
create function referral_private.state_users_and_evidence(
  p_stated referral_private.stated_event,
  p_carriers text[],
  p_metadata jsonb
)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.state_users(p_stated, p_carriers, p_metadata)
    || referral_private.state_evidence(p_stated, p_carriers, p_metadata);
end
$$;

-- A discount that a customer got by a promotion code is evidence from then on.
create function referral_private.state_discount(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_discount jsonb := p_stated.object;
  v_touched referral_private.touched := ('{}'::text[], '{}'::text[]);
begin
  if v_discount ->> 'customer' is null or v_discount ->> 'promotion_code' is null then
    return v_touched;
  end if;
  insert into referral_private.payer_evidence (stripe_account, livemode, carrier, kind, named, object_id, carried_at)
  values (
    p_stated.stripe_account, p_stated.livemode, v_discount ->> 'customer', 'promotion_code',
    v_discount ->> 'promotion_code', v_discount ->> 'id', to_timestamp((v_discount ->> 'start')::bigint)
  )
  on conflict do nothing;
  if found then
    v_touched.carriers := array[v_discount ->> 'customer'];
  end if;
  return v_touched;
end
$$;

-- Which of our codes a promotion code belongs to. Payers who used it before that was known are settled too.
create function referral_private.state_promotion_code(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_promotion jsonb := p_stated.object;
  v_key text := referral_private.normalise_code(v_promotion -> 'metadata' ->> 'referral_code');
  v_known text := (
    select p.code_key from referral_private.promotion_codes as p
    where p.stripe_account = p_stated.stripe_account and p.livemode = p_stated.livemode
      and p.promotion_code_id = v_promotion ->> 'id'
  );
  v_now text;
begin
  if v_key is null then
    return ('{}'::text[], '{}'::text[])::referral_private.touched;
  end if;
  insert into referral_private.promotion_codes as p (
    stripe_account, livemode, promotion_code_id, code_key, stated_at, stated_by
  )
  values (
    p_stated.stripe_account, p_stated.livemode, v_promotion ->> 'id', v_key, p_stated.event_at,
    p_stated.event_id
  )
  on conflict on constraint promotion_codes_pkey do update
  set (code_key, stated_at, stated_by) = (
    select g.code_key, g.stated_at, g.stated_by
    from unnest(array[p, excluded]) as g
    order by g.stated_at desc, g.stated_by desc
    limit 1
  )
  returning p.code_key into v_now;
  -- Stripe states the same again with every use of the promotion code.
  if v_now is not distinct from v_known then
    return ('{}'::text[], '{}'::text[])::referral_private.touched;
  end if;
  return ('{}'::text[], array(
    select distinct e.carrier from referral_private.payer_evidence as e
    where e.stripe_account = p_stated.stripe_account and e.livemode = p_stated.livemode
      and e.kind = 'promotion_code' and e.named = v_promotion ->> 'id'
  ))::referral_private.touched;
end
$$;
