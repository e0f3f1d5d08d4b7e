-- Events become facts, and what the facts touch is settled: once for all events that are applied together.

-- The kind of object in which a type of event states facts; null where it states none.
create function referral_private.object_kind_of(p_type text)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_type in ('checkout.session.completed', 'checkout.session.async_payment_succeeded') then 'session'
    when p_type = 'payment_intent.succeeded' then 'intent'
    when p_type = 'invoice.paid' then 'invoice'
    when p_type = 'invoice_payment.paid' then 'invoice_payment'
    when p_type in ('refund.created', 'refund.updated', 'refund.failed') then 'refund'
    when p_type = 'charge.refunded' then 'charge'
    when p_type in (
      'charge.dispute.created', 'charge.dispute.updated', 'charge.dispute.closed',
      'charge.dispute.funds_withdrawn', 'charge.dispute.funds_reinstated'
    ) then 'dispute'
    when p_type in ('radar.early_fraud_warning.created', 'radar.early_fraud_warning.updated') then 'warning'
    when p_type in ('credit_note.created', 'credit_note.updated', 'credit_note.voided') then 'credit_note'
    when p_type = 'customer.discount.created' then 'discount'
    when p_type in ('promotion_code.created', 'promotion_code.updated') then 'promotion_code'
  end;
end
$$;

-- States what an event alone states: what belongs together, and what was reversed. Payments, links to users and
-- evidence are stated of all events together. Returns what that touched.
create function referral_private.state_event(p_kind text, p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object jsonb := p_stated.object;
begin
  return case p_kind
    when 'invoice' then (
      array[v_object ->> 'id'], referral_private.state_customer_account(p_stated)
    )::referral_private.touched
    when 'intent' then (
      referral_private.relate_charge(p_stated, v_object ->> 'latest_charge', v_object ->> 'id'),
      referral_private.state_customer_account(p_stated)
    )::referral_private.touched
    when 'session' then (
      referral_private.state_belongings(p_stated), referral_private.state_customer_account(p_stated)
    )::referral_private.touched
    when 'charge' then (
      referral_private.relate_charge(p_stated, v_object ->> 'id', v_object ->> 'payment_intent'), '{}'::text[]
    )::referral_private.touched
    when 'invoice_payment' then referral_private.state_invoice_payment(p_stated)
    when 'refund' then referral_private.state_refund(p_stated)
    when 'dispute' then referral_private.state_dispute(p_stated)
    when 'warning' then referral_private.state_warning(p_stated)
    when 'credit_note' then referral_private.state_credit_note(p_stated)
    when 'discount' then referral_private.state_discount(p_stated)
    when 'promotion_code' then referral_private.state_promotion_code(p_stated)
  end;
end
$$;

-- What events touched together, and which event touched what.
create type referral_private.touched_together as (touched referral_private.touched, causes referral_private.cause[]);

-- States the facts of these events, of one Stripe account and mode, and returns what they touched. What a session or a
-- promotion code asks about others is stored before.
create function referral_private.state_events(
  p_stripe_account text,
  p_livemode boolean,
  p_events referral_private.accepted_event[]
)
returns referral_private.touched_together
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event referral_private.accepted_event;
  v_touched referral_private.touched;
  v_payment_ids text[] := '{}';
  v_carriers text[] := '{}';
  v_ids text[] := '{}';
  v_by text[] := '{}';
  v_payers referral_private.touched_carrier[];
  v_causes referral_private.cause[] := '{}';
begin
  perform referral_private.state_payments(p_events);
  v_payers := referral_private.state_payers(p_stripe_account, p_livemode, p_events);
  foreach v_event in array p_events loop
    v_touched := referral_private.state_event(v_event.kind, v_event.stated);
    v_payment_ids := v_payment_ids || v_touched.payment_ids;
    v_carriers := v_carriers || v_touched.carriers;
    v_ids := v_ids || v_touched.payment_ids || v_touched.carriers;
    v_by := v_by || array_fill((v_event.stated).event_id, array[cardinality(v_ids) - cardinality(v_by)]);
  end loop;
  if cardinality(v_payers) > 0 then
    v_carriers := v_carriers || array(select p.carrier from unnest(v_payers) as p);
  end if;
  if cardinality(p_events) > 1 then
    v_causes := array(
      select (t.id, t.event_id)::referral_private.cause
      from (
        select id, event_id from unnest(v_ids, v_by) as t (id, event_id)
        union all
        select p.carrier, p.event_id from unnest(v_payers) as p
      ) as t
      join unnest(p_events) with ordinality as e (kind, stated, place) on (e.stated).event_id = t.event_id
      order by e.place
    );
  end if;
  return ((v_payment_ids, v_carriers)::referral_private.touched, v_causes)::referral_private.touched_together;
end
$$;

-- Which of the events touched each of these sales last: one of its objects, or its payer.
create function referral_private.causes_of_sales(
  p_stripe_account text,
  p_livemode boolean,
  p_sale_ids text[],
  p_touched referral_private.cause[]
)
returns referral_private.cause[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  if cardinality(p_touched) = 0 then
    return '{}';
  end if;
  return array(
    with
      sold as materialized (
        select s.sale_id, id
        from referral_private.sales as s
        cross join lateral unnest(s.object_ids || s.payer_id) as id
        where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.sale_id = any (p_sale_ids)
      )
    select distinct on (s.sale_id) (s.sale_id, t.event_id)::referral_private.cause
    from sold as s
    join unnest(p_touched) with ordinality as t (id, event_id, place) on t.id = s.id
    order by s.sale_id, t.place desc
  );
end
$$;

-- The sales to accounts among these carriers that are now a customer's: what was sold to the account is.
create function referral_private.sales_of_accounts(p_stripe_account text, p_livemode boolean, p_carriers text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from referral_private.customer_accounts as a
    where a.customer_account = any (p_carriers) and a.stripe_account = p_stripe_account and a.livemode = p_livemode
  ) then
    return '{}';
  end if;
  return array(
    select s.sale_id from referral_private.sales as s
    where s.stripe_account = p_stripe_account and s.livemode = p_livemode and s.payer_id = any (p_carriers)
      and exists (
        select from referral_private.payments as p
        where p.payment_id = any (s.object_ids) and p.stripe_account = p_stripe_account and p.livemode = p_livemode
          and referral_private.customer_of(p_stripe_account, p_livemode, p.customer_id) <> s.payer_id
      )
  );
end
$$;

-- States the facts of events of one Stripe account and mode, and settles what they touch. The Stripe account lock is
-- held.
create function referral_private.apply_together(p_events referral_private.accepted_event[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan'
-- A young project has no statistics yet, and its sessions keep the plans of small tables.
set enable_seqscan = off
set jit = off
as $$
declare
  v_last constant referral_private.stated_event := (p_events[cardinality(p_events)]).stated;
  v_stripe_account constant text := v_last.stripe_account;
  v_livemode constant boolean := v_last.livemode;
  v_together constant referral_private.touched_together := referral_private.state_events(
    v_stripe_account, v_livemode, p_events
  );
  v_touched constant referral_private.touched := v_together.touched;
  v_sales text[] := referral_private.touched_sales(
    v_stripe_account, v_livemode, v_touched.payment_ids || v_touched.carriers
  );
  v_changed referral_private.changed_sales;
  v_payers text[];
begin
  if cardinality(v_touched.carriers) > 0 then
    v_sales := v_sales || referral_private.sales_of_accounts(v_stripe_account, v_livemode, v_touched.carriers);
  end if;
  v_changed := referral_private.project_sales(v_stripe_account, v_livemode, v_sales);
  v_payers := referral_private.payers_touched(v_stripe_account, v_livemode, v_touched.carriers, v_sales);
  v_payers := case
    when cardinality(v_payers) = 0 then v_changed.payer_ids
    else array(select distinct unnest(v_changed.payer_ids || v_payers))
  end;
  -- Events that change no sale, no link, no evidence and no history change nothing that is owed.
  if cardinality(v_payers) > 0 then
    perform referral_private.settle(
      v_stripe_account, v_livemode, v_payers, v_changed.sale_ids, v_last.event_id,
      referral_private.causes_of_sales(v_stripe_account, v_livemode, v_sales, v_together.causes)
    );
  end if;
end
$$;
