-- What Stripe events state, and which customer acts as which account. functions/stripe-webhook has reduced each object
-- to the fields that are read here. Of several versions of a fact the greatest is kept:
-- `from unnest(array[known, excluded])`. What most events say is stored of all events together, which are of one Stripe
-- account and mode.

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

-- An event that states facts, in an object of this kind.
create type referral_private.accepted_event as (kind text, stated referral_private.stated_event);

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
