-- What each kind of Stripe object states. functions/stripe-webhook has reduced it to the fields that are read here.

-- What a statement was about: invoices, intents and charges whose sales it may change, and the carriers (customers, or a
-- guest's invoices and intents) that it linked to a user, or gave evidence, which they did not have.
create type referral_private.stated as (names text[], carriers text[]);

create function referral_private.as_uuid(p_text text)
returns uuid
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return case when p_text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_text::uuid end;
end
$$;

revoke execute on function referral_private.as_uuid from public;

create type referral_private.statement as (
  account text,
  livemode boolean,
  event_id text,
  event_at timestamptz,
  object jsonb
);

-- Notes whom an object's carriers are linked to, and what it names: the user, the redemption, the code, promotion codes.
-- What a buyer can edit (`client_reference_id` behind a payment link) names a code at most, never a user. Answers the
-- carriers for which any of that is new.
create function referral_private.state_names(
  p_statement referral_private.statement,
  p_carriers text[],
  p_metadata jsonb
)
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_object jsonb := p_statement.object;
  v_reference text := v_object ->> 'client_reference_id';
  v_users uuid[] := array_remove(array[
    referral_private.as_uuid(p_metadata ->> 'referral_user_id'),
    case when v_object ->> 'payment_link' is null then referral_private.as_uuid(v_reference) end
  ], null);
  v_linked text[];
  v_evident text[];
begin
  if cardinality(v_users) > 0 then
    with linked as (
      insert into referral_private.payer_users as l (account, livemode, carrier, user_id, user_created_at)
      select distinct p_statement.account, p_statement.livemode, carrier, named, u.created_at
      from unnest(p_carriers) as carrier
      cross join unnest(v_users) as named
      left join auth.users as u on u.id = named
      where carrier is not null
      on conflict on constraint payer_users_pkey do update
      set user_created_at = excluded.user_created_at
      where l.user_created_at is null and excluded.user_created_at is not null
      returning l.carrier
    )
    select array_agg(l.carrier) into v_linked from linked as l;
  end if;
  if v_reference is not null or p_metadata ?| '{referral_redemption_id,referral_code}'::text[] or v_object ? 'discounts' then
    with evident as (
      insert into referral_private.payer_evidence as e (account, livemode, carrier, priority, named, object_id, carried_at)
      select p_statement.account, p_statement.livemode, carrier, n.priority, n.named, v_object ->> 'id',
        to_timestamp((v_object ->> 'created')::bigint)
      from unnest(p_carriers) as carrier
      cross join (
        select 2 as priority, referral_private.as_uuid(p_metadata ->> 'referral_redemption_id')::text as named
        union all
        select 3, referral_private.normalise_code(p_metadata ->> 'referral_code')
        union all
        select 4, d.discount ->> 'promotion_code'
        from jsonb_array_elements(coalesce(nullif(v_object -> 'discounts', 'null'), '[]')) as d (discount)
        union all
        select 5, referral_private.normalise_code(v_reference) where referral_private.as_uuid(v_reference) is null
      ) as n
      where carrier is not null and n.named is not null
      on conflict do nothing
      returning e.carrier
    )
    select array_agg(e.carrier) into v_evident from evident as e;
  end if;
  return coalesce(v_linked || v_evident, '{}');
end
$$;

revoke execute on function referral_private.state_names from public;

-- Keeps the greatest of a source's statements about a payment, and the earliest times at which it was sold and paid.
create function referral_private.state_payment(p_payment referral_private.payments)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_known referral_private.payments;
begin
  delete from referral_private.payments as p
  where p.account = p_payment.account and p.livemode = p_payment.livemode and p.payment_id = p_payment.payment_id
    and p.source = p_payment.source
  returning * into v_known;
  if v_known.payment_id is not null then
    p_payment.sale_at := least(p_payment.sale_at, v_known.sale_at);
    p_payment.paid_at := least(p_payment.paid_at, v_known.paid_at);
    p_payment.names_referral := p_payment.names_referral or v_known.names_referral;
    p_payment.customer_id := least(p_payment.customer_id, v_known.customer_id);
    if (v_known.paid, v_known.stated_at, v_known.stated_by) > (p_payment.paid, p_payment.stated_at, p_payment.stated_by) then
      p_payment.org_id := v_known.org_id;
      p_payment.currency := v_known.currency;
      p_payment.paid := v_known.paid;
      p_payment.total := v_known.total;
      p_payment.total_excluding_tax := v_known.total_excluding_tax;
      p_payment.stated_at := v_known.stated_at;
      p_payment.stated_by := v_known.stated_by;
    end if;
  end if;
  insert into referral_private.payments select p_payment.*;
end
$$;

revoke execute on function referral_private.state_payment from public;

-- A payment of which the statement says everything but what was paid. Nothing paid is no sale, and has no time.
create function referral_private.payment_stated(
  p_statement referral_private.statement,
  p_payment_id text,
  p_source referral_private.payment_source,
  p_metadata jsonb,
  p_paid bigint
)
returns referral_private.payments
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_payment referral_private.payments;
begin
  v_payment.account := p_statement.account;
  v_payment.livemode := p_statement.livemode;
  v_payment.payment_id := p_payment_id;
  v_payment.source := p_source;
  v_payment.customer_id := coalesce(p_statement.object ->> 'customer', p_statement.object ->> 'customer_account');
  v_payment.org_id := referral_private.as_uuid(p_metadata ->> 'referral_org_id');
  v_payment.names_referral := p_source <> 'intent'
    or p_metadata ?| '{referral_redemption_id,referral_user_id,referral_org_id,referral_code}'::text[];
  v_payment.currency := p_statement.object ->> 'currency';
  v_payment.paid := p_paid;
  v_payment.total := p_paid;
  v_payment.sale_at := case when p_paid > 0 then p_statement.event_at else 'infinity' end;
  v_payment.paid_at := v_payment.sale_at;
  v_payment.stated_at := p_statement.event_at;
  v_payment.stated_by := p_statement.event_id;
  return v_payment;
end
$$;

revoke execute on function referral_private.payment_stated from public;

-- A charge is its intent's, wherever both are named. Answers those of the two that are named.
create function referral_private.link_charge(p_statement referral_private.statement, p_charge text, p_intent text)
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if p_charge is not null and p_intent is not null then
    insert into referral_private.charges (account, livemode, charge_id, intent_id)
    values (p_statement.account, p_statement.livemode, p_charge, p_intent)
    on conflict do nothing;
  end if;
  return array_remove(array[p_charge, p_intent], null);
end
$$;

revoke execute on function referral_private.link_charge from public;

create function referral_private.state_charge(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return (
    referral_private.link_charge(p_statement, p_statement.object ->> 'id', p_statement.object ->> 'payment_intent'),
    '{}'::text[]
  )::referral_private.stated;
end
$$;

revoke execute on function referral_private.state_charge from public;

-- A checkout session names its payer, the user and the evidence. Its money counts in mode `payment` only: a
-- subscription's comes with the invoices.
create function referral_private.state_session(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_session jsonb := p_statement.object;
  v_customer text := coalesce(v_session ->> 'customer', v_session ->> 'customer_account');
  v_intent text := v_session ->> 'payment_intent';
  v_invoice text := v_session ->> 'invoice';
  v_payment referral_private.payments;
  v_stated referral_private.stated;
begin
  v_stated.names := array_remove(array[v_intent, v_invoice], null);
  v_stated.carriers := referral_private.state_names(
    p_statement,
    case when v_customer is not null then array[v_customer] else array[v_invoice, v_intent] end,
    v_session -> 'metadata'
  );
  if v_intent is not null and v_invoice is not null then
    insert into referral_private.invoice_payments (account, livemode, link_id, invoice_id, payment_key)
    values (p_statement.account, p_statement.livemode, v_session ->> 'id', v_invoice, v_intent)
    on conflict do nothing;
  end if;
  if v_intent is not null and v_session ->> 'mode' = 'payment' then
    v_payment := referral_private.payment_stated(
      p_statement, v_intent, 'session', v_session -> 'metadata',
      case when v_session ->> 'payment_status' = 'paid' then (v_session ->> 'amount_total')::bigint else 0 end
    );
    v_payment.total := v_session ->> 'amount_total';
    v_payment.total_excluding_tax := v_payment.total - (v_session -> 'total_details' ->> 'amount_tax')::bigint;
    perform referral_private.state_payment(v_payment);
  end if;
  return v_stated;
end
$$;

revoke execute on function referral_private.state_session from public;

create function referral_private.state_intent(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_intent jsonb := p_statement.object;
  v_id text := v_intent ->> 'id';
  v_customer text := coalesce(v_intent ->> 'customer', v_intent ->> 'customer_account');
  v_payment referral_private.payments := referral_private.payment_stated(
    p_statement, v_id, 'intent', v_intent -> 'metadata', (v_intent ->> 'amount_received')::bigint
  );
  v_stated referral_private.stated;
begin
  v_payment.total_excluding_tax := v_payment.total - (v_intent -> 'amount_details' -> 'tax' ->> 'total_tax_amount')::bigint;
  v_stated.carriers := referral_private.state_names(p_statement, array[coalesce(v_customer, v_id)], v_intent -> 'metadata');
  perform referral_private.state_payment(v_payment);
  v_stated.names := referral_private.link_charge(p_statement, v_intent ->> 'latest_charge', v_id);
  return v_stated;
end
$$;

revoke execute on function referral_private.state_intent from public;

-- An invoice is sold when it was created. Its metadata is its own and the subscription's, which every renewal carries.
create function referral_private.state_invoice(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_invoice jsonb := p_statement.object;
  v_id text := v_invoice ->> 'id';
  v_customer text := coalesce(v_invoice ->> 'customer', v_invoice ->> 'customer_account');
  v_metadata jsonb := coalesce(nullif(v_invoice -> 'parent' -> 'subscription_details' -> 'metadata', 'null'), '{}')
    || coalesce(nullif(v_invoice -> 'metadata', 'null'), '{}');
  v_payment referral_private.payments := referral_private.payment_stated(
    p_statement, v_id, 'invoice', v_metadata, case when (v_invoice ->> 'amount_paid')::bigint < 0 then 0 else (v_invoice ->> 'amount_paid')::bigint end
  );
  v_stated referral_private.stated;
begin
  v_payment.total := v_invoice ->> 'total';
  v_payment.total_excluding_tax := v_invoice ->> 'total_excluding_tax';
  v_payment.sale_at := to_timestamp((v_invoice ->> 'created')::bigint);
  v_stated.names := array[v_id];
  v_stated.carriers := referral_private.state_names(p_statement, array[coalesce(v_customer, v_id)], v_metadata);
  perform referral_private.state_payment(v_payment);
  return v_stated;
end
$$;

revoke execute on function referral_private.state_invoice from public;

create function referral_private.state_invoice_payment(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_link jsonb := p_statement.object;
  v_key text := coalesce(v_link -> 'payment' ->> 'payment_intent', v_link -> 'payment' ->> 'charge');
begin
  if v_key is null then
    return (array[v_link ->> 'invoice'], '{}'::text[])::referral_private.stated;
  end if;
  insert into referral_private.invoice_payments as l (account, livemode, link_id, invoice_id, payment_key, amount_paid)
  values (
    p_statement.account, p_statement.livemode, v_link ->> 'id', v_link ->> 'invoice', v_key, (v_link ->> 'amount_paid')::bigint
  )
  on conflict on constraint invoice_payments_pkey do update
  set amount_paid = greatest(l.amount_paid, excluded.amount_paid);
  perform referral_private.link_charge(p_statement, v_link -> 'payment' ->> 'charge', v_link -> 'payment' ->> 'payment_intent');
  return (array[v_link ->> 'invoice', v_key], '{}'::text[])::referral_private.stated;
end
$$;

revoke execute on function referral_private.state_invoice_payment from public;

-- A discount that a customer got by a promotion code is evidence from then on.
create function referral_private.state_discount(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_discount jsonb := p_statement.object;
  v_stated referral_private.stated := ('{}'::text[], '{}'::text[]);
begin
  if v_discount ->> 'customer' is null or v_discount ->> 'promotion_code' is null then
    return v_stated;
  end if;
  insert into referral_private.payer_evidence (account, livemode, carrier, priority, named, object_id, carried_at)
  values (
    p_statement.account, p_statement.livemode, v_discount ->> 'customer', 4, v_discount ->> 'promotion_code',
    v_discount ->> 'id', to_timestamp((v_discount ->> 'start')::bigint)
  )
  on conflict do nothing;
  if found then
    v_stated.carriers := array[v_discount ->> 'customer'];
  end if;
  return v_stated;
end
$$;

revoke execute on function referral_private.state_discount from public;

-- Which of our codes a promotion code belongs to. Whoever used it before that was known is settled too.
create function referral_private.state_promotion_code(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_promotion jsonb := p_statement.object;
  v_key text := referral_private.normalise_code(v_promotion -> 'metadata' ->> 'referral_code');
  v_known text := (
    select p.code_key from referral_private.promotion_codes as p
    where p.account = p_statement.account and p.livemode = p_statement.livemode
      and p.promotion_code_id = v_promotion ->> 'id'
  );
  v_stated referral_private.stated := ('{}'::text[], '{}'::text[]);
begin
  if v_key is null then
    return v_stated;
  end if;
  insert into referral_private.promotion_codes as p (account, livemode, promotion_code_id, code_key, stated_at, stated_by)
  values (
    p_statement.account, p_statement.livemode, v_promotion ->> 'id', v_key, p_statement.event_at, p_statement.event_id
  )
  on conflict on constraint promotion_codes_pkey do update
  set code_key = excluded.code_key, stated_at = excluded.stated_at, stated_by = excluded.stated_by
  where (excluded.stated_at, excluded.stated_by) > (p.stated_at, p.stated_by);
  -- Stripe says the same again with every use of the code.
  if not found or v_key = v_known then
    return v_stated;
  end if;
  v_stated.carriers := array(
    select distinct e.carrier from referral_private.payer_evidence as e
    where e.account = p_statement.account and e.livemode = p_statement.livemode
      and e.priority = 4 and e.named = v_promotion ->> 'id'
  );
  return v_stated;
end
$$;

revoke execute on function referral_private.state_promotion_code from public;
