-- The inbox and what each event states. functions/stripe-webhook verifies an event and reduces it to the fields that
-- are read here; one call takes one delivery, in one transaction.
create type referral.event_status as enum ('applied', 'duplicate', 'ignored');

-- Nothing here expires: a delivery is recognised as a duplicate however late it comes.
create table referral_private.stripe_events (
  account text not null,
  livemode boolean not null,
  event_id text not null,
  type text not null,
  status referral.event_status not null,
  created_at timestamptz not null,
  received_at timestamptz not null default clock_timestamp(),
  body_sha256 text not null,
  event jsonb not null,
  constraint stripe_events_pkey primary key (account, livemode, event_id),
  constraint stripe_events_account_is_an_id check (account ~ '^(acct_[A-Za-z0-9]{1,64})?$'),
  constraint stripe_events_have_an_id check (event_id ~ '^evt_[A-Za-z0-9_]{1,255}$'),
  constraint stripe_events_body_is_hashed check (body_sha256 ~ '^[0-9a-f]{64}$')
);

alter table referral_private.stripe_events enable row level security;

create function referral_private.as_uuid(p_text text)
returns uuid
language sql
immutable
security invoker
set search_path = ''
as $$
  select
    case
      when p_text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_text::uuid
    end;
$$;

revoke execute on function referral_private.as_uuid from public;

-- Applies one verified Stripe event. Answers `duplicate` for what came before and `ignored` for types that state
-- nothing; both change nothing else. Raises `invalid_event` for what is not an event, and then stores nothing.
create function referral_private.ingest_stripe_event(p_event jsonb)
returns table (event_id text, status referral.event_status)
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  v_account text := coalesce(p_event ->> 'account', '');
  v_livemode boolean;
  v_created_at timestamptz;
  v_object jsonb := p_event -> 'data' -> 'object';
  v_payer_ids text[];
  v_status referral.event_status;
begin
  if coalesce(jsonb_typeof(p_event), '') <> 'object' or jsonb_typeof(v_object) is distinct from 'object' then
    perform referral_private.raise_error('invalid_event');
  end if;
  v_livemode := (p_event -> 'livemode')::boolean;
  v_created_at := to_timestamp((p_event -> 'created')::bigint);
  v_status := case when p_event ->> 'type' in ('checkout.session.completed', 'invoice.paid') then 'applied' else 'ignored' end;

  perform referral_private.lock_account(v_account);
  insert into referral_private.stripe_events (account, livemode, event_id, type, status, created_at, body_sha256, event)
  values (
    v_account, v_livemode, p_event ->> 'id', p_event ->> 'type', v_status, v_created_at,
    p_event ->> 'body_sha256', p_event - 'body_sha256'
  )
  on conflict on constraint stripe_events_pkey do nothing;
  if not found then
    return query select p_event ->> 'id', 'duplicate'::referral.event_status;
    return;
  end if;

  if v_status = 'applied' then
    v_payer_ids := case p_event ->> 'type'
      when 'checkout.session.completed' then referral_private.state_checkout_session(v_account, v_livemode, v_created_at, p_event)
      when 'invoice.paid' then referral_private.state_invoice(v_account, v_livemode, v_created_at, p_event)
    end;
    perform referral_private.settle_payer(v_account, v_livemode, payer_id)
    from (select distinct unnest(v_payer_ids) as payer_id) as payers
    where payer_id is not null;
  end if;
  return query select p_event ->> 'id', v_status;
exception
  when check_violation or not_null_violation or invalid_text_representation or numeric_value_out_of_range
    or invalid_parameter_value or datetime_field_overflow or cannot_coerce
  then
    perform referral_private.raise_error('invalid_event');
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.ingest_stripe_event from public;

grant execute on function referral_private.ingest_stripe_event to service_role;

-- Links the payer of an object to the user and the redemption that its metadata names.
create function referral_private.link_payer(
  p_account text,
  p_livemode boolean,
  p_payer_id text,
  p_metadata jsonb,
  p_user_id uuid default null
)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into referral_private.payer_users (account, livemode, payer_id, user_id)
  select p_account, p_livemode, p_payer_id, u
  from unnest(array[p_user_id, referral_private.as_uuid(p_metadata ->> 'referral_user_id')]) as u
  where u is not null
  on conflict do nothing;

  insert into referral_private.payer_redemptions (account, livemode, payer_id, redemption_id)
  select p_account, p_livemode, p_payer_id, r
  from referral_private.as_uuid(p_metadata ->> 'referral_redemption_id') as r
  where r is not null
  on conflict do nothing;
$$;

revoke execute on function referral_private.link_payer from public;

-- Several events can state one payment, in any order: the row is that of the greatest (paid, stated_at, event id), the
-- time of sale the least. Returns the payers to settle: the payment's, and the one it had before.
create function referral_private.state_payment(p_payment referral_private.payments)
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_known referral_private.payments;
begin
  select * into v_known
  from referral_private.payments as p
  where p.account = p_payment.account and p.livemode = p_payment.livemode and p.payment_id = p_payment.payment_id;
  if found then
    p_payment.sale_at := least(p_payment.sale_at, v_known.sale_at);
    if (v_known.paid, v_known.stated_at, v_known.stated_by) > (p_payment.paid, p_payment.stated_at, p_payment.stated_by) then
      v_known.sale_at := p_payment.sale_at;
      p_payment := v_known;
    end if;
    delete from referral_private.payments as p
    where p.account = p_payment.account and p.livemode = p_payment.livemode and p.payment_id = p_payment.payment_id;
  end if;
  insert into referral_private.payments select p_payment.*;
  return array[p_payment.payer_id, v_known.payer_id];
end
$$;

revoke execute on function referral_private.state_payment from public;

-- A checkout session links its payer to the user and the redemption it names. It states a payment only in mode
-- `payment`, when paid, and without an invoice: a subscription's money, and an invoiced purchase, come with the
-- invoice. Behind a payment link the buyer can edit `client_reference_id`, so there it names nobody. Returns the payers
-- to settle.
create function referral_private.state_checkout_session(
  p_account text,
  p_livemode boolean,
  p_created_at timestamptz,
  p_event jsonb
)
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_session jsonb := p_event -> 'data' -> 'object';
  v_payment referral_private.payments;
begin
  v_payment.payment_id := v_session ->> 'payment_intent';
  -- A guest's payment is a payer of its own: the invoice, where there is one.
  v_payment.payer_id := coalesce(
    v_session ->> 'customer', v_session ->> 'customer_account', v_session ->> 'invoice', v_payment.payment_id
  );
  if v_payment.payer_id is null then
    return '{}';
  end if;
  perform referral_private.link_payer(
    p_account, p_livemode, v_payment.payer_id, v_session -> 'metadata',
    case when v_session ->> 'payment_link' is null then referral_private.as_uuid(v_session ->> 'client_reference_id') end
  );

  if v_payment.payment_id is not null and v_session ->> 'invoice' is not null then
    insert into referral_private.invoiced_payments (account, livemode, payment_id)
    values (p_account, p_livemode, v_payment.payment_id)
    on conflict do nothing;
  elsif v_payment.payment_id is not null and v_session ->> 'mode' = 'payment' and v_session ->> 'payment_status' = 'paid' then
    v_payment.account := p_account;
    v_payment.livemode := p_livemode;
    v_payment.org_id := referral_private.as_uuid(v_session -> 'metadata' ->> 'referral_org_id');
    v_payment.currency := v_session ->> 'currency';
    v_payment.paid := v_session ->> 'amount_total';
    v_payment.total := v_payment.paid;
    v_payment.total_excluding_tax := v_payment.total - (v_session -> 'total_details' ->> 'amount_tax')::bigint;
    v_payment.sale_at := p_created_at;
    v_payment.stated_at := p_created_at;
    v_payment.stated_by := p_event ->> 'id';
    return referral_private.state_payment(v_payment);
  end if;
  return array[v_payment.payer_id];
end
$$;

revoke execute on function referral_private.state_checkout_session from public;

-- A paid invoice is a sale of its customer, made when the invoice was created. Its metadata is its own and the
-- subscription's, which every renewal carries. Returns the payers to settle.
create function referral_private.state_invoice(
  p_account text,
  p_livemode boolean,
  p_created_at timestamptz,
  p_event jsonb
)
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_invoice jsonb := p_event -> 'data' -> 'object';
  v_payment referral_private.payments;
  v_metadata jsonb := coalesce(nullif(v_invoice -> 'parent' -> 'subscription_details' -> 'metadata', 'null'), '{}')
    || coalesce(nullif(v_invoice -> 'metadata', 'null'), '{}');
begin
  v_payment.account := p_account;
  v_payment.livemode := p_livemode;
  v_payment.payment_id := v_invoice ->> 'id';
  v_payment.payer_id := coalesce(v_invoice ->> 'customer', v_invoice ->> 'customer_account', v_payment.payment_id);
  v_payment.org_id := referral_private.as_uuid(v_metadata ->> 'referral_org_id');
  v_payment.currency := v_invoice ->> 'currency';
  v_payment.paid := v_invoice ->> 'amount_paid';
  v_payment.total := v_invoice ->> 'total';
  v_payment.total_excluding_tax := v_invoice ->> 'total_excluding_tax';
  v_payment.sale_at := to_timestamp((v_invoice ->> 'created')::bigint);
  v_payment.stated_at := p_created_at;
  v_payment.stated_by := p_event ->> 'id';
  perform referral_private.link_payer(p_account, p_livemode, v_payment.payer_id, v_metadata);
  return referral_private.state_payment(v_payment);
end
$$;

revoke execute on function referral_private.state_invoice from public;
