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
  object jsonb,
  -- What changed in the object, as far as it is read: only of promotion codes.
  previous jsonb
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

-- Stores which customer an account acts as, where an object names both; of several customers the least. Returns both
-- where that is new, and the customer before: what was stored under the account is the customer's.
create function referral_private.state_customer_account(p_stated referral_private.stated_event)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_customer text := p_stated.object ->> 'customer';
  v_account text := p_stated.object ->> 'customer_account';
  v_before text;
begin
  if v_customer is null or v_account is null then
    return '{}';
  end if;
  select a.customer_id into v_before
  from referral_private.customer_accounts as a
  where a.customer_account = v_account and a.stripe_account = p_stated.stripe_account
    and a.livemode = p_stated.livemode;
  insert into referral_private.customer_accounts as a (stripe_account, livemode, customer_account, customer_id)
  values (p_stated.stripe_account, p_stated.livemode, v_account, v_customer)
  on conflict on constraint customer_accounts_pkey do update
  set customer_id = excluded.customer_id
  where excluded.customer_id < a.customer_id;
  return case when found then array_remove(array[v_customer, v_account, v_before], null) else '{}' end;
end
$$;

-- Looks up whether these users are known. Returns the carriers to whom those are linked that became known; in the other
-- mode their payers are settled at once.
create function referral_private.carriers_of_known(p_stated referral_private.stated_event, p_user_ids uuid[])
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known uuid[] := referral_private.know_users(p_stated.stripe_account, p_user_ids);
begin
  if cardinality(v_known) = 0 then
    return '{}';
  end if;
  perform referral_private.settle(
    p_stated.stripe_account, not p_stated.livemode,
    referral_private.payers_of_users(p_stated.stripe_account, not p_stated.livemode, v_known), '{}', p_stated.event_id
  );
  return referral_private.carriers_of_users(p_stated.stripe_account, p_stated.livemode, v_known);
end
$$;

-- Stores the users that an object links its carriers to. What a buyer can edit (`client_reference_id` behind a
-- payment link) never names a user. Returns the carriers whose links changed.
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
  with linked as (
    insert into referral_private.payer_users as l (stripe_account, livemode, carrier, user_id, linked_at)
    select distinct p_stated.stripe_account, p_stated.livemode, carrier, user_id,
      to_timestamp((v_object ->> 'created')::bigint)
    from unnest(p_carriers) as carrier
    cross join unnest(v_users) as user_id
    where carrier is not null
    on conflict on constraint payer_users_pkey do update
    set linked_at = excluded.linked_at
    where excluded.linked_at < l.linked_at
    returning l.carrier
  )
  select array_agg(l.carrier) into v_linked from linked as l;
  return coalesce(v_linked, '{}') || referral_private.carriers_of_known(p_stated, v_users || array(
    select r.referee_id from referral.redemptions as r
    where r.id = referral_private.as_uuid(p_metadata ->> 'referral_redemption_id')
  ));
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
      select
        (case when v_object ->> 'payment_link' is null then 'client_reference' else 'payment_link' end)
          ::referral_private.evidence_kind,
        referral_private.normalise_code(v_reference)
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

-- Stores what an object says of its payer, and returns the carriers for which any of it is new.
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
  return referral_private.state_customer_account(p_stated)
    || referral_private.state_users(p_stated, p_carriers, p_metadata)
    || referral_private.state_evidence(p_stated, p_carriers, p_metadata);
end
$$;
