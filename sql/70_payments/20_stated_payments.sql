-- Stores what Stripe events say about payments.

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

-- The money of a checkout session counts in mode `payment` only: that of a subscription comes with the invoices. Null
-- where it has none.
create function referral_private.payment_by_session(p_stated referral_private.stated_event)
returns referral_private.payments
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jsonb := p_stated.object;
  v_payment referral_private.payments;
begin
  if v_session ->> 'payment_intent' is null or v_session ->> 'mode' is distinct from 'payment' then
    return null;
  end if;
  v_payment := referral_private.payment_stated(
    p_stated, v_session ->> 'payment_intent', 'session', v_session -> 'metadata',
    case when v_session ->> 'payment_status' = 'paid' then (v_session ->> 'amount_total')::bigint else 0 end
  );
  v_payment.total := v_session ->> 'amount_total';
  v_payment.total_excluding_tax := v_payment.total - (v_session -> 'total_details' ->> 'amount_tax')::bigint;
  return v_payment;
end
$$;

-- A payment intent says what was received, and its tax.
create function referral_private.payment_by_intent(p_stated referral_private.stated_event)
returns referral_private.payments
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_intent jsonb := p_stated.object;
  v_payment referral_private.payments := referral_private.payment_stated(
    p_stated, v_intent ->> 'id', 'intent', v_intent -> 'metadata', (v_intent ->> 'amount_received')::bigint
  );
begin
  v_payment.total_excluding_tax := v_payment.total
    - (v_intent -> 'amount_details' -> 'tax' ->> 'total_tax_amount')::bigint;
  return v_payment;
end
$$;

-- An invoice is sold when it was created, and paid when it says so.
create function referral_private.payment_by_invoice(p_stated referral_private.stated_event)
returns referral_private.payments
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_invoice jsonb := p_stated.object;
  v_subscription jsonb := v_invoice -> 'parent' -> 'subscription_details';
  v_paid bigint := v_invoice ->> 'amount_paid';
  v_payment referral_private.payments := referral_private.payment_stated(
    p_stated, v_invoice ->> 'id', 'invoice', v_invoice -> 'metadata', case when v_paid < 0 then 0 else v_paid end
  );
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
  return v_payment;
end
$$;

-- Stores these payments, each once: of each the greatest version is kept, and the earliest times at which it was sold
-- and paid.
create function referral_private.store_payments(p_payments referral_private.payments[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.payments as p
  select s.* from unnest(p_payments) as s
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

-- Stores the payments that these events state.
create function referral_private.state_payments(p_events referral_private.accepted_event[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event referral_private.accepted_event;
  v_payment referral_private.payments;
  v_payments referral_private.payments[] := '{}';
begin
  foreach v_event in array p_events loop
    v_payment := case v_event.kind
      when 'session' then referral_private.payment_by_session(v_event.stated)
      when 'intent' then referral_private.payment_by_intent(v_event.stated)
      when 'invoice' then referral_private.payment_by_invoice(v_event.stated)
    end;
    if v_payment.source is not null then
      v_payments := v_payments || v_payment;
    end if;
  end loop;
  if cardinality(v_payments) = 1 then
    perform referral_private.store_payments(v_payments);
  else
    -- One statement cannot change a row twice: the second version of a payment comes in a second round.
    perform referral_private.store_payments(array_agg(r.payment))
    from (
      select s as payment, row_number() over (partition by s.payment_id, s.source) as round
      from unnest(v_payments) as s
    ) as r
    group by r.round;
  end if;
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
