-- Stores the evidence that Stripe events give payers, and all that they say of payers.

-- Evidence that an object gives a carrier.
create type referral_private.named_evidence as (
  carrier text collate "C",
  kind referral_private.evidence_kind,
  named text collate "C",
  object_id text collate "C",
  carried_at timestamptz
);

-- The evidence that objects give their carriers: a redemption, a code, promotion codes.
create function referral_private.evidence_named(p_named referral_private.named_payer[])
returns referral_private.named_evidence[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select (carrier, e.kind, e.named, n.object ->> 'id', n.made_at)::referral_private.named_evidence
    from unnest(p_named) as n
    cross join lateral (
      select 'redemption_id'::referral_private.evidence_kind as kind,
        referral_private.as_uuid(n.metadata ->> 'referral_redemption_id')::text as named
      where n.metadata ? 'referral_redemption_id'
      union all
      select 'metadata_code', referral_private.normalise_code(n.metadata ->> 'referral_code')
      where n.metadata ? 'referral_code'
      union all
      select 'promotion_code', d.discount ->> 'promotion_code'
      from jsonb_array_elements(coalesce(nullif(n.object -> 'discounts', 'null'), '[]')) as d (discount)
      union all
      select
        (case when n.object ->> 'payment_link' is null then 'client_reference' else 'payment_link' end)
          ::referral_private.evidence_kind,
        referral_private.normalise_code(n.object ->> 'client_reference_id')
      where n.object ? 'client_reference_id'
        and referral_private.as_uuid(n.object ->> 'client_reference_id') is null
    ) as e
    cross join lateral unnest(n.carriers) as carrier
    where e.named is not null
  );
end
$$;

-- Stores this evidence. Returns the carriers that did not have it, each by the object that gives it.
create function referral_private.state_evidence(
  p_stripe_account text,
  p_livemode boolean,
  p_evidence referral_private.named_evidence[],
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
    evident as (
      insert into referral_private.payer_evidence as e (
        stripe_account, livemode, carrier, kind, named, object_id, carried_at
      )
      select p_stripe_account, p_livemode, g.carrier, g.kind, g.named, g.object_id, g.carried_at
      from unnest(p_evidence) as g
      on conflict do nothing
      returning e.carrier, e.object_id
    )
  select array_agg((e.carrier, n.event_id)::referral_private.touched_carrier) into v_touched
  from evident as e
  join unnest(p_named) as n on n.object ->> 'id' = e.object_id;
  return coalesce(v_touched, '{}');
end
$$;

-- Looks up whether the users that objects name, themselves or by a redemption, are known. Returns the carriers to whom
-- those are linked that became known, each by the first event that names the user; in the other mode that event settles
-- their payers at once.
create function referral_private.state_known_users(
  p_stripe_account text,
  p_livemode boolean,
  p_named referral_private.named_payer[],
  p_evidence referral_private.named_evidence[]
)
returns referral_private.touched_carrier[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_named constant uuid[] := array(
    select unnest(n.user_ids) from unnest(p_named) as n
    union
    select r.referee_id from referral.redemptions as r
    where r.id = any (array(select e.named::uuid from unnest(p_evidence) as e where e.kind = 'redemption_id'))
  );
  v_known uuid[];
  v_first record;
  v_touched referral_private.touched_carrier[] := '{}';
begin
  if cardinality(v_named) = 0 then
    return '{}';
  end if;
  v_known := referral_private.know_users(p_stripe_account, v_named);
  if cardinality(v_known) = 0 then
    return '{}';
  end if;
  for v_first in
    select n.event_id, array_agg(user_id) as user_ids
    from unnest(v_known) as user_id
    cross join lateral (
      select named.event_id, named.place
      from unnest(p_named) with ordinality as named (
        event_id, object, made_at, carriers, metadata, user_ids, names_evidence, place
      )
      where user_id = any (named.user_ids) or referral_private.as_uuid(
        named.metadata ->> 'referral_redemption_id'
      ) in (select r.id from referral.redemptions as r where r.referee_id = user_id)
      order by named.place
      limit 1
    ) as n
    group by n.event_id
    order by min(n.place)
  loop
    perform referral_private.settle(
      p_stripe_account, not p_livemode,
      referral_private.payers_of_users(p_stripe_account, not p_livemode, v_first.user_ids), '{}', v_first.event_id
    );
    v_touched := v_touched || array(
      select (carrier, v_first.event_id)::referral_private.touched_carrier
      from unnest(
        referral_private.carriers_of_users(p_stripe_account, p_livemode, v_first.user_ids)
      ) as carrier
    );
  end loop;
  return v_touched;
end
$$;

-- Stores what the objects of these events say of their payers. Returns the carriers for which any of it is new.
create function referral_private.state_payers(
  p_stripe_account text,
  p_livemode boolean,
  p_events referral_private.accepted_event[]
)
returns referral_private.touched_carrier[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event referral_private.accepted_event;
  v_payer referral_private.named_payer;
  v_named referral_private.named_payer[] := '{}';
  v_evidence referral_private.named_evidence[];
  v_touched referral_private.touched_carrier[] := '{}';
begin
  foreach v_event in array p_events loop
    if v_event.kind in ('session', 'intent', 'invoice') then
      v_payer := referral_private.payer_named(v_event.kind, v_event.stated);
      if v_payer.user_ids <> '{}' or v_payer.names_evidence then
        v_named := v_named || v_payer;
      end if;
    end if;
  end loop;
  if cardinality(v_named) = 0 then
    return '{}';
  end if;
  v_evidence := referral_private.evidence_named(v_named);
  if exists (select from unnest(v_named) as n where n.user_ids <> '{}') then
    v_touched := referral_private.state_users(p_stripe_account, p_livemode, v_named);
  end if;
  if cardinality(v_evidence) > 0 then
    v_touched := v_touched || referral_private.state_evidence(
      p_stripe_account, p_livemode, v_evidence, v_named
    );
  end if;
  return v_touched || referral_private.state_known_users(p_stripe_account, p_livemode, v_named, v_evidence);
end
$$;
