-- Which users payers are linked to, and under which carriers their links and evidence are stored.

-- A carrier of a payer's: the payer itself, an account that acts as it, one of its sales, or a payment behind one. A
-- guest's objects carry what they name under the sale or the payment.
create type referral_private.payer_carrier as (payer_id text collate "C", carrier text collate "C");

-- The carriers of these payers.
create function referral_private.carriers_of_payers(p_stripe_account text, p_livemode boolean, p_payer_ids text[])
returns setof referral_private.payer_carrier
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select payer, payer from unnest(p_payer_ids) as payer
  union
  select a.customer_id, a.customer_account
  from referral_private.customer_accounts as a
  where a.stripe_account = p_stripe_account and a.livemode = p_livemode and a.customer_id = any (p_payer_ids)
  union
  select s.payer_id, unnest(s.object_ids)
  from referral_private.sales as s
  where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.payer_id = any (p_payer_ids);
end
$$;

-- Stores which of these users are known, for this Stripe account, and returns those that were not before. The Stripe
-- account lock is held.
create function referral_private.know_users(p_stripe_account text, p_user_ids uuid[])
returns uuid[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known uuid[] := array(
    select k.user_id from referral_private.known_users as k
    where k.user_id = any (p_user_ids) and k.stripe_account = p_stripe_account
  );
  v_unknown uuid[] := array(select unnest(p_user_ids) except select unnest(v_known));
begin
  if cardinality(v_unknown) = 0 then
    return '{}';
  end if;
  v_known := array(
    select u.id from auth.users as u where u.id = any (v_unknown)
    union
    select r.referee_id from referral.redemptions as r where r.referee_id = any (v_unknown)
    union
    select m.user_id from referral.members as m where m.user_id = any (v_unknown)
  );
  insert into referral_private.known_users (stripe_account, user_id, signed_up_at)
  select p_stripe_account, id, (select u.created_at from auth.users as u where u.id = known.id)
  from unnest(v_known) as known (id);
  return v_known;
end
$$;

-- A link of a carrier to a user whom the project knows: an object named the user, or a redemption of theirs.
create type referral_private.payer_link as (carrier text collate "C", user_id uuid, linked_at timestamptz);

-- The links of these carriers.
create function referral_private.links_of_carriers(p_stripe_account text, p_livemode boolean, p_carriers text[])
returns referral_private.payer_link[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select (l.carrier, l.user_id, l.linked_at)::referral_private.payer_link
    from referral_private.payer_users as l
    join referral_private.known_users as k on k.user_id = l.user_id and k.stripe_account = l.stripe_account
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.carrier = any (p_carriers)
    union all
    select (e.carrier, r.referee_id, e.carried_at)::referral_private.payer_link
    from referral_private.payer_evidence as e
    join referral.redemptions as r on r.id = e.named::uuid
    where e.stripe_account = p_stripe_account and e.livemode = p_livemode and e.carrier = any (p_carriers)
      and e.kind = 'redemption_id'
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
