-- Stores what a Stripe event says about reversals and holds: refunds, disputes, warnings, credit notes.

-- A refund counts until it is known to have failed: its greatest version is the last one of the highest rank.
create function referral_private.state_refund(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refund jsonb := p_stated.object;
  v_key text;
begin
  insert into referral_private.refunds as r (
    stripe_account, livemode, refund_id, payment_key, amount, status_rank, stated_at, stated_by
  )
  values (
    p_stated.stripe_account, p_stated.livemode, v_refund ->> 'id',
    coalesce(v_refund ->> 'payment_intent', v_refund ->> 'charge'), (v_refund ->> 'amount')::bigint,
    case
      when v_refund ->> 'status' in ('failed', 'canceled') then 2
      when v_refund ->> 'status' = 'succeeded' then 1
      else 0
    end,
    p_stated.event_at, p_stated.event_id
  )
  on conflict on constraint refunds_pkey do update
  set (amount, status_rank, stated_at, stated_by) = (
      select g.amount, g.status_rank, g.stated_at, g.stated_by
      from unnest(array[r, excluded]) as g
      order by g.status_rank desc, g.stated_at desc, g.stated_by desc
      limit 1
    ),
    payment_key = greatest(r.payment_key, excluded.payment_key)
  returning r.payment_key into v_key;
  return (
    referral_private.relate_charge(p_stated, v_refund ->> 'charge', v_refund ->> 'payment_intent') || v_key,
    '{}'::text[]
  )::referral_private.touched;
end
$$;

-- A fraud warning holds what its payment earns, from the latest time that it states.
create function referral_private.state_warning(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_warning jsonb := p_stated.object;
begin
  insert into referral_private.warnings as w (stripe_account, livemode, warning_id, payment_key, warned_at)
  values (
    p_stated.stripe_account, p_stated.livemode, v_warning ->> 'id',
    coalesce(v_warning ->> 'payment_intent', v_warning ->> 'charge'), to_timestamp((v_warning ->> 'created')::bigint)
  )
  on conflict on constraint warnings_pkey do update
  set payment_key = greatest(w.payment_key, excluded.payment_key),
    warned_at = greatest(w.warned_at, excluded.warned_at);
  return (
    referral_private.relate_charge(p_stated, v_warning ->> 'charge', v_warning ->> 'payment_intent'), '{}'::text[]
  )::referral_private.touched;
end
$$;

-- A dispute reverses what its balance transactions say, whatever its status. An inquiry reverses nothing, and holds.
create function referral_private.state_dispute(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_dispute jsonb := p_stated.object;
  v_key text := coalesce(v_dispute ->> 'payment_intent', v_dispute ->> 'charge');
begin
  if starts_with(v_dispute ->> 'status', 'warning_') then
    perform referral_private.state_warning(p_stated);
  end if;
  insert into referral_private.disputes as d (
    stripe_account, livemode, dispute_id, payment_key, amount, currency, stated_at, stated_by
  )
  values (
    p_stated.stripe_account, p_stated.livemode, v_dispute ->> 'id', v_key, (v_dispute ->> 'amount')::bigint,
    v_dispute ->> 'currency', p_stated.event_at, p_stated.event_id
  )
  on conflict on constraint disputes_pkey do update
  set (amount, currency, stated_at, stated_by) = (
      select g.amount, g.currency, g.stated_at, g.stated_by
      from unnest(array[d, excluded]) as g
      order by g.stated_at desc, g.stated_by desc
      limit 1
    ),
    payment_key = greatest(d.payment_key, excluded.payment_key)
  returning d.payment_key into v_key;
  insert into referral_private.dispute_transactions (
    stripe_account, livemode, dispute_id, transaction_id, amount, currency
  )
  select p_stated.stripe_account, p_stated.livemode, v_dispute ->> 'id', t.moved ->> 'id',
    (t.moved ->> 'amount')::bigint, t.moved ->> 'currency'
  from jsonb_array_elements(v_dispute -> 'balance_transactions') as t (moved)
  on conflict do nothing;
  return (
    referral_private.relate_charge(p_stated, v_dispute ->> 'charge', v_dispute ->> 'payment_intent') || v_key,
    '{}'::text[]
  )::referral_private.touched;
end
$$;

-- A credit note reverses what it pays out of band or through payment records. Ordinary refunds arrive as events of
-- their own; the credit note only names their invoice. Credit to the customer's balance lowers a later payment
-- instead.
create function referral_private.state_credit_note(p_stated referral_private.stated_event)
returns referral_private.touched
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_note jsonb := p_stated.object;
  v_outside bigint := coalesce((v_note ->> 'out_of_band_amount')::bigint, 0) + coalesce((
    select sum((r.refund ->> 'amount_refunded')::bigint)
    from jsonb_array_elements(v_note -> 'refunds') as r (refund)
    where r.refund ->> 'type' = 'payment_record_refund'
  ), 0);
begin
  insert into referral_private.credit_notes as n (
    stripe_account, livemode, credit_note_id, invoice_id, outside, void, stated_at, stated_by
  )
  values (
    p_stated.stripe_account, p_stated.livemode, v_note ->> 'id', v_note ->> 'invoice', v_outside,
    v_note ->> 'status' = 'void', p_stated.event_at, p_stated.event_id
  )
  on conflict on constraint credit_notes_pkey do update
  set (outside, stated_at, stated_by) = (
      select g.outside, g.stated_at, g.stated_by
      from unnest(array[n, excluded]) as g
      order by g.stated_at desc, g.stated_by desc
      limit 1
    ),
    void = n.void or excluded.void;
  insert into referral_private.credit_note_refunds as a (stripe_account, livemode, credit_note_id, refund_id, amount)
  select p_stated.stripe_account, p_stated.livemode, v_note ->> 'id', r.refund ->> 'refund',
    (r.refund ->> 'amount_refunded')::bigint
  from jsonb_array_elements(v_note -> 'refunds') as r (refund)
  where r.refund ->> 'refund' is not null
  on conflict on constraint credit_note_refunds_pkey do update set amount = greatest(a.amount, excluded.amount);
  return (array[v_note ->> 'invoice'], '{}'::text[])::referral_private.touched;
end
$$;
