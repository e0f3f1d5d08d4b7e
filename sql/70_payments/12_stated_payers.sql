-- Stores the users to whom Stripe events link payers.

-- A carrier that got a link to a user, or evidence, which it did not have, and the event by which.
create type referral_private.touched_carrier as (carrier text collate "C", event_id text);

-- What an object says of its payer: under which carriers, in which metadata, and the users that it links them to.
create type referral_private.named_payer as (
  event_id text,
  object jsonb,
  made_at timestamptz,
  carriers text[],
  metadata jsonb,
  user_ids uuid[],
  names_evidence boolean
);

-- What the object of an event says of its payer. A subscription's metadata is its invoices', too. What a buyer can edit
-- (`client_reference_id` behind a payment link) never names a user.
create function referral_private.payer_named(p_kind text, p_stated referral_private.stated_event)
returns referral_private.named_payer
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object jsonb := p_stated.object;
  v_customer text := coalesce(v_object ->> 'customer', v_object ->> 'customer_account');
  v_metadata jsonb := v_object -> 'metadata';
begin
  if p_kind = 'invoice' then
    v_metadata := coalesce(nullif(v_object -> 'parent' -> 'subscription_details' -> 'metadata', 'null'), '{}')
      || coalesce(nullif(v_metadata, 'null'), '{}');
  end if;
  return (
    p_stated.event_id, v_object, to_timestamp((v_object ->> 'created')::bigint),
    case
      when v_customer is not null then array[v_customer]
      when p_kind = 'session' then array_remove(array[v_object ->> 'invoice', v_object ->> 'payment_intent'], null)
      else array[v_object ->> 'id']
    end,
    v_metadata,
    array_remove(array[
      referral_private.as_uuid(v_metadata ->> 'referral_user_id'),
      case
        when v_object ->> 'payment_link' is null then referral_private.as_uuid(v_object ->> 'client_reference_id')
      end
    ], null),
    v_object -> 'client_reference_id' is not null or v_object -> 'discounts' is not null
      or coalesce(v_metadata ?| '{referral_redemption_id,referral_code}'::text[], false)
  )::referral_private.named_payer;
end
$$;

-- Stores the users that objects link their carriers to, each with the earliest time. Returns the carriers whose links
-- changed.
create function referral_private.state_users(
  p_stripe_account text,
  p_livemode boolean,
  p_named referral_private.named_payer[]
)
returns referral_private.touched_carrier[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_touched referral_private.touched_carrier[];
begin
  with
    named as (
      select distinct on (carrier, user_id) carrier, user_id, n.made_at, n.event_id
      from unnest(p_named) with ordinality as n (
        event_id, object, made_at, carriers, metadata, user_ids, names_evidence, place
      )
      cross join lateral unnest(n.carriers) as carrier
      cross join lateral unnest(n.user_ids) as user_id
      order by carrier, user_id, n.made_at, n.place
    ),
    linked as (
      insert into referral_private.payer_users as l (stripe_account, livemode, carrier, user_id, linked_at)
      select p_stripe_account, p_livemode, n.carrier, n.user_id, n.made_at from named as n
      on conflict on constraint payer_users_pkey do update
      set linked_at = excluded.linked_at
      where excluded.linked_at < l.linked_at
      returning l.carrier, l.user_id
    )
  select array_agg((l.carrier, n.event_id)::referral_private.touched_carrier) into v_touched
  from linked as l
  join named as n on n.carrier = l.carrier and n.user_id = l.user_id;
  return coalesce(v_touched, '{}');
end
$$;
