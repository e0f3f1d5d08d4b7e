-- Which payers are one person, and are settled together.

-- The payers to whom these carriers belong: those of the sales that they are part of, else the customer itself, or the
-- payment that is no sale yet.
create function referral_private.payers_of_carriers(p_stripe_account text, p_livemode boolean, p_carriers text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sales text[];
begin
  if cardinality(p_carriers) = 0 then
    return '{}';
  end if;
  v_sales := referral_private.touched_sales(p_stripe_account, p_livemode, p_carriers);
  return array(
    select s.payer_id
    from referral_private.sales as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (v_sales)
    union
    select coalesce(a.customer_id, other.carrier)
    from (
      select unnest(p_carriers) as carrier
      except
      select unnest(s.object_ids)
      from referral_private.sales as s
      where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (v_sales)
    ) as other
    left join referral_private.customer_accounts as a
      on a.customer_account = other.carrier and a.stripe_account = p_stripe_account and a.livemode = p_livemode
  );
end
$$;

-- The payers that are linked to these users.
create function referral_private.payers_of_users(p_stripe_account text, p_livemode boolean, p_user_ids uuid[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.payers_of_carriers(
    p_stripe_account, p_livemode, referral_private.carriers_of_users(p_stripe_account, p_livemode, p_user_ids)
  );
end
$$;

-- A payer, the person that it is (the first user it was linked to; later links do not count), since when, and when
-- that user signed up. What payers of one group bought is settled together: those of a person, or a payer without one.
create type referral_private.payer as (
  payer_id text collate "C",
  group_id text collate "C",
  person uuid,
  linked_at timestamptz,
  signed_up_at timestamptz
);

-- These carriers' payers, by their links.
create function referral_private.payers_with_people(
  p_stripe_account text,
  p_carriers referral_private.payer_carrier[],
  p_links referral_private.payer_link[]
)
returns setof referral_private.payer
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
-- The planner does not know how long the arrays are.
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  select l.payer_id, coalesce(l.user_id::text, l.payer_id), l.user_id, l.linked_at, (
      select k.signed_up_at from referral_private.known_users as k
      where k.user_id = l.user_id and k.stripe_account = p_stripe_account
    )
  from (
    select p.payer_id, first.user_id, first.linked_at
    from (select distinct c.payer_id from unnest(p_carriers) as c) as p
    left join (
      select distinct on (c.payer_id) c.payer_id, link.user_id, link.linked_at
      from unnest(p_carriers) as c
      join unnest(p_links) as link on link.carrier = c.carrier
      order by c.payer_id, link.linked_at, link.user_id
    ) as first on first.payer_id = p.payer_id
  ) as l;
end
$$;

create type referral_private.settled_payers as (
  payers referral_private.payer[],
  carriers referral_private.payer_carrier[],
  -- All links of these carriers, also the later ones; and the users by whom they were found.
  links referral_private.payer_link[],
  user_ids uuid[]
);

-- These payers, and all that are or may have been one person with them: the payers of every user that they are linked
-- to. It goes no further: what is linked to another payer's other users does not matter.
create function referral_private.payers_together(p_stripe_account text, p_livemode boolean, p_payer_ids text[])
returns referral_private.settled_payers
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_carriers referral_private.payer_carrier[] := array(
    select c from referral_private.carriers_of_payers(p_stripe_account, p_livemode, p_payer_ids) as c
  );
  v_links referral_private.payer_link[] := referral_private.links_of_carriers(
    p_stripe_account, p_livemode, array(select c.carrier from unnest(v_carriers) as c)
  );
  v_users uuid[] := array(select distinct l.user_id from unnest(v_links) as l);
  v_others text[];
  v_theirs referral_private.payer_carrier[];
begin
  if cardinality(v_users) > 0 then
    v_others := array(
      select unnest(referral_private.payers_of_users(p_stripe_account, p_livemode, v_users))
      except
      select unnest(p_payer_ids)
    );
    if cardinality(v_others) > 0 then
      v_theirs := array(
        select c from referral_private.carriers_of_payers(p_stripe_account, p_livemode, v_others) as c
      );
      v_carriers := v_carriers || v_theirs;
      v_links := v_links || referral_private.links_of_carriers(
        p_stripe_account, p_livemode, array(select c.carrier from unnest(v_theirs) as c)
      );
    end if;
  end if;
  return (
    array(
      select p from referral_private.payers_with_people(p_stripe_account, v_carriers, v_links) as p
      where p.payer_id in (select unnest(p_payer_ids)) or p.person in (select unnest(v_users))
    ),
    v_carriers, v_links, v_users
  )::referral_private.settled_payers;
end
$$;

-- The payers of these by their carriers. One carrier can be several payers'.
create type referral_private.carried_payer as (carrier text collate "C", payer referral_private.payer);

-- These payers, each under every carrier of theirs.
create function referral_private.payers_by_carrier(p_together referral_private.settled_payers)
returns setof referral_private.carried_payer
language plpgsql
stable
rows 1000
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  select c.carrier, p
  from unnest(p_together.carriers) as c
  join unnest(p_together.payers) as p on p.payer_id = c.payer_id;
end
$$;
