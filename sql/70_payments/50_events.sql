-- One call takes one delivery, in one transaction: into the inbox, into facts, into the ledger.

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

-- States the facts of an event, and returns what that touched.
create function referral_private.state_event(p_type text, p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return case referral_private.object_kind_of(p_type)
    when 'session' then referral_private.state_session(p_stated)
    when 'intent' then referral_private.state_intent(p_stated)
    when 'invoice' then referral_private.state_invoice(p_stated)
    when 'invoice_payment' then referral_private.state_invoice_payment(p_stated)
    when 'refund' then referral_private.state_refund(p_stated)
    when 'charge' then referral_private.state_charge(p_stated)
    when 'dispute' then referral_private.state_dispute(p_stated)
    when 'warning' then referral_private.state_warning(p_stated)
    when 'credit_note' then referral_private.state_credit_note(p_stated)
    when 'discount' then referral_private.state_discount(p_stated)
    when 'promotion_code' then referral_private.state_promotion_code(p_stated)
  end;
end
$$;

-- States the facts of an event and settles what they touch. The Stripe account lock is held.
create function referral_private.apply_event(p_type text, p_stated referral_private.stated_event)
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
  v_stripe_account constant text := p_stated.stripe_account;
  v_livemode constant boolean := p_stated.livemode;
  v_touched referral_private.touched := referral_private.state_event(p_type, p_stated);
  v_sales text[] := referral_private.touched_sales(
    v_stripe_account, v_livemode, v_touched.payment_ids || v_touched.carriers
  ) || array(
    -- What was sold to an account is its customer's from now on.
    select s.sale_id from referral_private.sales as s
    where s.stripe_account = v_stripe_account and s.livemode = v_livemode and s.payer_id = any (v_touched.carriers)
      and exists (
        select from referral_private.customer_accounts as a
        where a.customer_account = any (v_touched.carriers) and a.stripe_account = v_stripe_account
          and a.livemode = v_livemode
      ) and exists (
        select from referral_private.payments as p
        where p.payment_id = any (s.object_ids) and p.stripe_account = v_stripe_account and p.livemode = v_livemode
          and referral_private.customer_of(v_stripe_account, v_livemode, p.customer_id) <> s.payer_id
      )
  );
  v_changed referral_private.changed_sales := referral_private.project_sales(v_stripe_account, v_livemode, v_sales);
  v_payers text[] := v_changed.payer_ids || referral_private.payers_touched(
    v_stripe_account, v_livemode, v_touched.carriers, v_sales
  );
begin
  -- An event that changes no sale, no link, no evidence and no history changes nothing that is owed.
  if cardinality(v_payers) > 0 then
    perform referral_private.settle(
      v_stripe_account, v_livemode, v_payers, v_changed.sale_ids, p_stated.event_id
    );
  end if;
end
$$;

create function referral_private.ingest_stripe_event(p_event jsonb)
returns setof referral.event_result
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_stated referral_private.stated_event;
  v_type constant text := p_event ->> 'type';
  v_status referral.event_status;
begin
  v_stated := referral_private.stated_event_of(p_event);
  v_status := case
    when p_event ->> 'parked' is not null then 'parked'
    when referral_private.object_kind_of(v_type) is not null then 'applied'
    else 'ignored'
  end;

  perform referral_private.lock_stripe_account(v_stated.stripe_account);
  insert into referral_private.stripe_events (
    stripe_account, livemode, event_id, type, status, created_at, body_sha256, event
  )
  values (
    v_stated.stripe_account, v_stated.livemode, v_stated.event_id, v_type, v_status, v_stated.event_at,
    p_event ->> 'body_sha256',
    case
      when v_status = 'parked' then jsonb_build_object('parked', p_event -> 'parked')
      else p_event - 'body_sha256'
    end
  )
  on conflict on constraint stripe_events_pkey do nothing;
  if not found then
    -- A parked event can come again in a form that can be read: from an endpoint of another API version.
    if v_status = 'parked' or not referral_private.unpark(v_stated, p_event) then
      v_status := 'duplicate';
    end if;
  elsif v_status = 'parked' then
    insert into referral_private.parked_events (
      stripe_account, livemode, event_id, event_created_at, reason, event
    )
    values (
      v_stated.stripe_account, v_stated.livemode, v_stated.event_id, v_stated.event_at, p_event ->> 'parked',
      p_event - 'parked'
    );
  end if;
  if v_status = 'applied' then
    perform referral_private.apply_event(v_type, v_stated);
  end if;
  return query select v_stated.event_id, v_status;
exception
  when data_exception or cannot_coerce or check_violation or not_null_violation then
    perform referral_private.raise_error('invalid_event');
end
$$;

comment on function referral_private.ingest_stripe_event is
  'public: Takes one delivery of a verified Stripe event, reduced to what is needed. Status: applied; duplicate if it
came before; ignored for types that state no fact; parked for what the webhook could not read. A parked event that comes
again in a form that can be read is applied.

group: Take payments
event: the event as functions/stripe-webhook reduces it
callers: the operator
errors: invalid_event, busy
returns: a row
timeout: 20s';

grant execute on function referral_private.ingest_stripe_event to service_role;
