-- Stores what a Stripe event says about payments.

-- A payment as an event states it, when this much was paid. A payment of nothing is no sale and has no time.
create function referral_private.payment_stated(
  p_stated referral_private.stated_event,
  p_payment_id text,
  p_source referral_private.payment_source,
  p_metadata jsonb,
  p_paid bigint
)
returns referral_private.payments
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_payment referral_private.payments;
begin
  v_payment.stripe_account := p_stated.stripe_account;
  v_payment.livemode := p_stated.livemode;
  v_payment.payment_id := p_payment_id;
  v_payment.source := p_source;
  v_payment.customer_id := coalesce(p_stated.object ->> 'customer', p_stated.object ->> 'customer_account');
  v_payment.org_id := referral_private.as_uuid(p_metadata ->> 'referral_org_id');
  v_payment.names_referral := p_source <> 'intent'
    or p_metadata ?| '{referral_redemption_id,referral_user_id,referral_org_id,referral_code}'::text[];
  v_payment.currency := p_stated.object ->> 'currency';
  v_payment.paid := p_paid;
  v_payment.total := p_paid;
  v_payment.sale_at := case when p_paid > 0 then p_stated.event_at else 'infinity' end;
  v_payment.paid_at := v_payment.sale_at;
  v_payment.paid_at_is_stated := false;
  v_payment.made_at := to_timestamp((p_stated.object ->> 'created')::bigint);
  v_payment.stated_at := p_stated.event_at;
  v_payment.stated_by := p_stated.event_id;
  return v_payment;
end
$$;

-- Keeps the greatest version of a payment by one source, and the earliest times at which it was sold and paid.
create function referral_private.state_payment(p_payment referral_private.payments)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.payments as p
  select p_payment.*
  on conflict on constraint payments_pkey do update
  set (org_id, subscription_org_id, currency, paid, total, total_excluding_tax, stated_at, stated_by) = (
      select g.org_id, g.subscription_org_id, g.currency, g.paid, g.total, g.total_excluding_tax, g.stated_at,
        g.stated_by
      from unnest(array[p, excluded]) as g
      order by g.paid desc, g.stated_at desc, g.stated_by desc
      limit 1
    ),
    sale_at = least(p.sale_at, excluded.sale_at),
    paid_at = case
      when p.paid_at_is_stated = excluded.paid_at_is_stated then least(p.paid_at, excluded.paid_at)
      when p.paid_at_is_stated then p.paid_at
      else excluded.paid_at
    end,
    paid_at_is_stated = p.paid_at_is_stated or excluded.paid_at_is_stated,
    names_referral = p.names_referral or excluded.names_referral,
    customer_id = least(p.customer_id, excluded.customer_id),
    subscription_id = least(p.subscription_id, excluded.subscription_id);
end
$$;

-- A checkout session names its payer, the user and the evidence. Its money counts in mode `payment` only: the money
-- of a subscription comes with the invoices.
create function referral_private.state_session(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jsonb := p_stated.object;
  v_customer text := coalesce(v_session ->> 'customer', v_session ->> 'customer_account');
  v_intent text := v_session ->> 'payment_intent';
  v_payment referral_private.payments;
  v_touched referral_private.touched;
begin
  v_touched.payment_ids := referral_private.state_belongings(p_stated);
  v_touched.carriers := referral_private.state_users_and_evidence(
    p_stated,
    case when v_customer is not null then array[v_customer] else array[v_session ->> 'invoice', v_intent] end,
    v_session -> 'metadata'
  );
  if v_intent is not null and v_session ->> 'mode' = 'payment' then
    v_payment := referral_private.payment_stated(
      p_stated, v_intent, 'session', v_session -> 'metadata',
      case when v_session ->> 'payment_status' = 'paid' then (v_session ->> 'amount_total')::bigint else 0 end
    );
    v_payment.total := v_session ->> 'amount_total';
    v_payment.total_excluding_tax := v_payment.total - (v_session -> 'total_details' ->> 'amount_tax')::bigint;
    perform referral_private.state_payment(v_payment);
  end if;
  return v_touched;
end
$$;

-- A payment intent names its payer, the user, the evidence and its charge, and says what was received and its tax.
create function referral_private.state_intent(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_intent jsonb := p_stated.object;
  v_id text := v_intent ->> 'id';
  v_customer text := coalesce(v_intent ->> 'customer', v_intent ->> 'customer_account');
  v_payment referral_private.payments := referral_private.payment_stated(
    p_stated, v_id, 'intent', v_intent -> 'metadata', (v_intent ->> 'amount_received')::bigint
  );
  v_touched referral_private.touched;
begin
  v_payment.total_excluding_tax := v_payment.total
    - (v_intent -> 'amount_details' -> 'tax' ->> 'total_tax_amount')::bigint;
  v_touched.carriers := referral_private.state_users_and_evidence(
    p_stated, array[coalesce(v_customer, v_id)], v_intent -> 'metadata'
  );
  perform referral_private.state_payment(v_payment);
  v_touched.payment_ids := referral_private.relate_charge(p_stated, v_intent ->> 'latest_charge', v_id);
  return v_touched;
end
$$;

-- An invoice is sold when it was created, and paid when it says so. Its metadata is its own and the subscription's,
-- which every renewal carries.
create function referral_private.state_invoice(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_invoice jsonb := p_stated.object;
  v_id text := v_invoice ->> 'id';
  v_customer text := coalesce(v_invoice ->> 'customer', v_invoice ->> 'customer_account');
  v_subscription jsonb := v_invoice -> 'parent' -> 'subscription_details';
  v_metadata jsonb := coalesce(nullif(v_subscription -> 'metadata', 'null'), '{}')
    || coalesce(nullif(v_invoice -> 'metadata', 'null'), '{}');
  v_paid bigint := v_invoice ->> 'amount_paid';
  v_payment referral_private.payments := referral_private.payment_stated(
    p_stated, v_id, 'invoice', v_invoice -> 'metadata', case when v_paid < 0 then 0 else v_paid end
  );
  v_touched referral_private.touched;
begin
  v_payment.total := v_invoice ->> 'total';
  v_payment.total_excluding_tax := v_invoice ->> 'total_excluding_tax';
  v_payment.sale_at := v_payment.made_at;
  if v_paid > 0 and v_invoice -> 'status_transitions' ->> 'paid_at' is not null then
    v_payment.paid_at := to_timestamp((v_invoice -> 'status_transitions' ->> 'paid_at')::bigint);
    v_payment.paid_at_is_stated := true;
  end if;
  v_payment.subscription_id := v_subscription ->> 'subscription';
  v_payment.subscription_org_id := referral_private.as_uuid(v_subscription -> 'metadata' ->> 'referral_org_id');
  v_touched.payment_ids := array[v_id];
  v_touched.carriers := referral_private.state_users_and_evidence(
    p_stated, array[coalesce(v_customer, v_id)], v_metadata
  );
  perform referral_private.state_payment(v_payment);
  return v_touched;
end
$$;

-- An invoice payment says which payment paid how much of an invoice. One without a payment says nothing of money.
create function referral_private.state_invoice_payment(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_link jsonb := p_stated.object;
  v_intent text := v_link -> 'payment' ->> 'payment_intent';
  v_charge text := v_link -> 'payment' ->> 'charge';
  v_key text := coalesce(v_intent, v_charge);
begin
  if v_key is null then
    return (array[v_link ->> 'invoice'], '{}'::text[])::referral_private.touched;
  end if;
  insert into referral_private.invoice_payments as l (
    stripe_account, livemode, object_id, invoice_id, payment_key, amount_paid
  )
  values (
    p_stated.stripe_account, p_stated.livemode, v_link ->> 'id', v_link ->> 'invoice', v_key,
    (v_link ->> 'amount_paid')::bigint
  )
  on conflict on constraint invoice_payments_pkey do update
  set amount_paid = greatest(l.amount_paid, excluded.amount_paid);
  perform referral_private.relate_charge(p_stated, v_charge, v_intent);
  return (array[v_link ->> 'invoice', v_key], '{}'::text[])::referral_private.touched;
end
$$;

-- A charge says which payment intent it is of.
create function referral_private.state_charge(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    referral_private.relate_charge(p_stated, p_stated.object ->> 'id', p_stated.object ->> 'payment_intent'),
    '{}'::text[]
  )::referral_private.touched;
end
$$;
