-- What Stripe's objects state of money taken back or held: refunds, disputes, warnings, credit notes.

-- A refund counts until it is known to have failed; what was stated with the highest rank, last, holds.
create function referral_private.state_refund(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_refund jsonb := p_statement.object;
  v_key text;
begin
  insert into referral_private.refunds as r (
    account, livemode, refund_id, payment_key, amount, rank, stated_at, stated_by
  )
  values (
    p_statement.account, p_statement.livemode, v_refund ->> 'id',
    coalesce(v_refund ->> 'payment_intent', v_refund ->> 'charge'), (v_refund ->> 'amount')::bigint,
    case when v_refund ->> 'status' in ('failed', 'canceled') then 2 when v_refund ->> 'status' = 'succeeded' then 1 else 0 end,
    p_statement.event_at, p_statement.event_id
  )
  on conflict on constraint refunds_pkey do update
  set payment_key = greatest(r.payment_key, excluded.payment_key),
    amount = case
      when (excluded.rank, excluded.stated_at, excluded.stated_by) > (r.rank, r.stated_at, r.stated_by) then excluded.amount
      else r.amount
    end,
    stated_at = case
      when (excluded.rank, excluded.stated_at, excluded.stated_by) > (r.rank, r.stated_at, r.stated_by) then excluded.stated_at
      else r.stated_at
    end,
    stated_by = case
      when (excluded.rank, excluded.stated_at, excluded.stated_by) > (r.rank, r.stated_at, r.stated_by) then excluded.stated_by
      else r.stated_by
    end,
    rank = greatest(r.rank, excluded.rank)
  returning r.payment_key into v_key;
  return (
    referral_private.link_charge(p_statement, v_refund ->> 'charge', v_refund ->> 'payment_intent') || v_key, '{}'::text[]
  )::referral_private.stated;
end
$$;

revoke execute on function referral_private.state_refund from public;

-- A dispute takes what its balance transactions say, whatever its status. An inquiry takes nothing, and holds.
create function referral_private.state_dispute(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_dispute jsonb := p_statement.object;
  v_key text := coalesce(v_dispute ->> 'payment_intent', v_dispute ->> 'charge');
begin
  if starts_with(v_dispute ->> 'status', 'warning_') then
    perform referral_private.state_warning(p_statement);
  end if;
  insert into referral_private.disputes as d (
    account, livemode, dispute_id, payment_key, amount, currency, stated_at, stated_by
  )
  values (
    p_statement.account, p_statement.livemode, v_dispute ->> 'id', v_key, (v_dispute ->> 'amount')::bigint,
    v_dispute ->> 'currency', p_statement.event_at, p_statement.event_id
  )
  on conflict on constraint disputes_pkey do update
  set payment_key = greatest(d.payment_key, excluded.payment_key),
    amount = case when (excluded.stated_at, excluded.stated_by) > (d.stated_at, d.stated_by) then excluded.amount else d.amount end,
    currency = case
      when (excluded.stated_at, excluded.stated_by) > (d.stated_at, d.stated_by) then excluded.currency else d.currency
    end,
    stated_by = case
      when (excluded.stated_at, excluded.stated_by) > (d.stated_at, d.stated_by) then excluded.stated_by else d.stated_by
    end,
    stated_at = greatest(d.stated_at, excluded.stated_at)
  returning d.payment_key into v_key;
  insert into referral_private.dispute_transactions (account, livemode, dispute_id, transaction_id, amount)
  select p_statement.account, p_statement.livemode, v_dispute ->> 'id', t.moved ->> 'id', (t.moved ->> 'amount')::bigint
  from jsonb_array_elements(v_dispute -> 'balance_transactions') as t (moved)
  on conflict do nothing;
  return (
    referral_private.link_charge(p_statement, v_dispute ->> 'charge', v_dispute ->> 'payment_intent') || v_key, '{}'::text[]
  )::referral_private.stated;
end
$$;

revoke execute on function referral_private.state_dispute from public;

create function referral_private.state_warning(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_warning jsonb := p_statement.object;
begin
  insert into referral_private.warnings as w (account, livemode, warning_id, payment_key, warned_at)
  values (
    p_statement.account, p_statement.livemode, v_warning ->> 'id',
    coalesce(v_warning ->> 'payment_intent', v_warning ->> 'charge'), to_timestamp((v_warning ->> 'created')::bigint)
  )
  on conflict on constraint warnings_pkey do update
  set payment_key = greatest(w.payment_key, excluded.payment_key), warned_at = greatest(w.warned_at, excluded.warned_at);
  return (
    referral_private.link_charge(p_statement, v_warning ->> 'charge', v_warning ->> 'payment_intent'), '{}'::text[]
  )::referral_private.stated;
end
$$;

revoke execute on function referral_private.state_warning from public;

-- A credit note gives back what it pays out of band or through payment records. Ordinary refunds arrive by themselves;
-- it only says which invoice they belong to. Credit to the customer's balance lowers a later payment instead.
create function referral_private.state_credit_note(p_statement referral_private.statement)
returns referral_private.stated
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_note jsonb := p_statement.object;
  v_outside bigint := coalesce((v_note ->> 'out_of_band_amount')::bigint, 0) + coalesce((
    select sum((r.refund ->> 'amount_refunded')::bigint)
    from jsonb_array_elements(v_note -> 'refunds') as r (refund)
    where r.refund ->> 'type' = 'payment_record_refund'
  ), 0);
begin
  insert into referral_private.credit_notes as n (
    account, livemode, credit_note_id, invoice_id, outside, void, stated_at, stated_by
  )
  values (
    p_statement.account, p_statement.livemode, v_note ->> 'id', v_note ->> 'invoice', v_outside,
    v_note ->> 'status' = 'void', p_statement.event_at, p_statement.event_id
  )
  on conflict on constraint credit_notes_pkey do update
  set outside = case when (excluded.stated_at, excluded.stated_by) > (n.stated_at, n.stated_by) then excluded.outside else n.outside end,
    stated_at = greatest(n.stated_at, excluded.stated_at),
    stated_by = case when (excluded.stated_at, excluded.stated_by) > (n.stated_at, n.stated_by) then excluded.stated_by else n.stated_by end,
    void = n.void or excluded.void;
  insert into referral_private.credit_note_refunds as a (account, livemode, credit_note_id, refund_id, amount)
  select p_statement.account, p_statement.livemode, v_note ->> 'id', r.refund ->> 'refund', (r.refund ->> 'amount_refunded')::bigint
  from jsonb_array_elements(v_note -> 'refunds') as r (refund)
  where r.refund ->> 'refund' is not null
  on conflict on constraint credit_note_refunds_pkey do update set amount = greatest(a.amount, excluded.amount);
  return (array[v_note ->> 'invoice'], '{}'::text[])::referral_private.stated;
end
$$;

revoke execute on function referral_private.state_credit_note from public;
