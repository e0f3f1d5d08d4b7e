-- The inbox: one call takes one delivery, in one transaction. Nothing here expires or changes: a delivery is recognised as
-- a duplicate however late it comes.
create type referral.event_status as enum ('applied', 'duplicate', 'ignored', 'parked');

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
  constraint stripe_events_pkey primary key (event_id, account, livemode),
  constraint stripe_events_account_is_an_id check (account ~ '^(acct_[A-Za-z0-9]{1,64})?$'),
  constraint stripe_events_have_an_id check (event_id ~ '^evt_[A-Za-z0-9_]{1,255}$'),
  constraint stripe_events_body_is_hashed check (body_sha256 ~ '^[0-9a-f]{64}$')
);

alter table referral_private.stripe_events enable row level security;

create trigger stripe_events_are_append_only
before update or delete or truncate on referral_private.stripe_events
for each statement
execute function referral_private.refuse_change();

alter table referral_private.stripe_events enable always trigger stripe_events_are_append_only;

-- Events that carry money or identity in a form that is not known yet, as they came but for personal fields, until a later
-- version of referbase can read them.
create table referral_private.parked_events (
  account text not null,
  livemode boolean not null,
  event_id text not null,
  reason text not null,
  event jsonb not null,
  constraint parked_events_pkey primary key (event_id, account, livemode),
  constraint parked_events_are_in_the_inbox
    foreign key (event_id, account, livemode) references referral_private.stripe_events (event_id, account, livemode)
      on delete restrict
);

alter table referral_private.parked_events enable row level security;

-- What a parked event was read as in the end; kept, because the inbox has it as parked for ever.
create table referral_private.resolved_events (
  account text not null,
  livemode boolean not null,
  event_id text not null,
  event jsonb not null,
  resolved_at timestamptz not null default clock_timestamp(),
  constraint resolved_events_pkey primary key (event_id, account, livemode),
  constraint resolved_events_are_in_the_inbox
    foreign key (event_id, account, livemode) references referral_private.stripe_events (event_id, account, livemode)
      on delete restrict
);

alter table referral_private.resolved_events enable row level security;

create trigger resolved_events_are_append_only
before update or delete or truncate on referral_private.resolved_events
for each statement
execute function referral_private.refuse_change();

alter table referral_private.resolved_events enable always trigger resolved_events_are_append_only;

-- The kind of object in which a type of event states facts; null where it states none.
create function referral_private.stated_by(p_type text)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
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

revoke execute on function referral_private.stated_by from public;

-- States the facts of an event and settles what they touch. False for types that state nothing. The account lock is held.
create function referral_private.apply_event(p_account text, p_livemode boolean, p_event jsonb)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_statement referral_private.statement := (
    p_account, p_livemode, p_event ->> 'id', to_timestamp((p_event -> 'created')::bigint), p_event -> 'data' -> 'object'
  );
  v_stated referral_private.stated;
  v_touched text[];
  v_changed referral_private.changed_sales;
  v_payers text[];
begin
  case referral_private.stated_by(p_event ->> 'type')
    when 'session' then v_stated := referral_private.state_session(v_statement);
    when 'intent' then v_stated := referral_private.state_intent(v_statement);
    when 'invoice' then v_stated := referral_private.state_invoice(v_statement);
    when 'invoice_payment' then v_stated := referral_private.state_invoice_payment(v_statement);
    when 'refund' then v_stated := referral_private.state_refund(v_statement);
    when 'charge' then v_stated := referral_private.state_charge(v_statement);
    when 'dispute' then v_stated := referral_private.state_dispute(v_statement);
    when 'warning' then v_stated := referral_private.state_warning(v_statement);
    when 'credit_note' then v_stated := referral_private.state_credit_note(v_statement);
    when 'discount' then v_stated := referral_private.state_discount(v_statement);
    when 'promotion_code' then v_stated := referral_private.state_promotion_code(v_statement);
    else return false;
  end case;
  v_touched := referral_private.touched_sales(p_account, p_livemode, v_stated.names || v_stated.carriers);
  v_changed := referral_private.project_sales(p_account, p_livemode, v_touched);
  v_payers := v_changed.payer_ids
    || referral_private.payers_carried(p_account, p_livemode, v_stated.carriers, v_touched);
  -- What changed no sale, and nothing that anybody is known by, changes nothing that is owed.
  if cardinality(v_payers) > 0 then
    perform referral_private.settle(p_account, p_livemode, v_payers, v_changed.sale_ids, p_event ->> 'id');
  end if;
  return true;
end
$$;

revoke execute on function referral_private.apply_event from public;

-- Applies one verified Stripe event. Answers `duplicate` for what came before, `ignored` for types that state nothing, and
-- `parked` for what the webhook could not read (`parked` says why); these change nothing else. Raises `invalid_event` for
-- what is not an event, and then stores nothing.
create function referral_private.ingest_stripe_event(p_event jsonb)
returns table (event_id text, status referral.event_status)
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_account text := coalesce(p_event ->> 'account', '');
  v_livemode boolean;
  v_status referral.event_status;
begin
  if coalesce(jsonb_typeof(p_event), '') <> 'object' or jsonb_typeof(p_event -> 'data' -> 'object') is distinct from 'object' then
    perform referral_private.raise_error('invalid_event');
  end if;
  v_livemode := (p_event -> 'livemode')::boolean;
  v_status := case
    when p_event ->> 'parked' is not null then 'parked'
    when referral_private.stated_by(p_event ->> 'type') is not null then 'applied'
    else 'ignored'
  end;

  perform referral_private.lock_account(v_account);
  insert into referral_private.stripe_events (account, livemode, event_id, type, status, created_at, body_sha256, event)
  values (
    v_account, v_livemode, p_event ->> 'id', p_event ->> 'type', v_status, to_timestamp((p_event -> 'created')::bigint),
    p_event ->> 'body_sha256',
    case when v_status = 'parked' then jsonb_build_object('parked', p_event -> 'parked') else p_event - 'body_sha256' end
  )
  on conflict on constraint stripe_events_pkey do nothing;
  if not found then
    return query select p_event ->> 'id', 'duplicate'::referral.event_status;
    return;
  end if;

  if v_status = 'applied' then
    perform referral_private.apply_event(v_account, v_livemode, p_event);
  elsif v_status = 'parked' then
    insert into referral_private.parked_events (account, livemode, event_id, reason, event)
    values (v_account, v_livemode, p_event ->> 'id', p_event ->> 'parked', p_event - 'parked');
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

-- Parked events after the one given, oldest first, for a later version to read.
create function referral_private.list_parked_events(p_limit int, p_after_event text)
returns table (
  account text,
  livemode boolean,
  event_id text,
  type text,
  reason text,
  received_at timestamptz,
  event jsonb
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query
  select p.account, p.livemode, p.event_id, e.type, p.reason, e.received_at, p.event
  from referral_private.parked_events as p
  join referral_private.stripe_events as e
    on e.account = p.account and e.livemode = p.livemode and e.event_id = p.event_id
  where p_after_event is null or (e.received_at, p.event_id) > (
    select min(seen.received_at), p_after_event from referral_private.stripe_events as seen where seen.event_id = p_after_event
  )
  order by e.received_at, p.event_id
  limit referral_private.page_size(p_limit);
end
$$;

revoke execute on function referral_private.list_parked_events from public;

grant execute on function referral_private.list_parked_events to service_role;

-- Applies a parked event that can be read now, as the webhook would have reduced it, and forgets what was parked.
create function referral_private.resolve_parked_event(p_event jsonb)
returns table (event_id text, status referral.event_status)
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_account text := coalesce(p_event ->> 'account', '');
  v_livemode boolean;
begin
  if coalesce(jsonb_typeof(p_event), '') <> 'object' or jsonb_typeof(p_event -> 'data' -> 'object') is distinct from 'object' then
    perform referral_private.raise_error('invalid_event');
  end if;
  v_livemode := (p_event -> 'livemode')::boolean;
  perform referral_private.lock_account(v_account);
  delete from referral_private.parked_events as p
  where p.account = v_account and p.livemode = v_livemode and p.event_id = p_event ->> 'id';
  if not found then
    return query select p_event ->> 'id', 'duplicate'::referral.event_status;
    return;
  end if;
  insert into referral_private.resolved_events (account, livemode, event_id, event)
  values (v_account, v_livemode, p_event ->> 'id', p_event - 'body_sha256');
  return query
  select p_event ->> 'id', (case
    when referral_private.apply_event(v_account, v_livemode, p_event) then 'applied' else 'ignored'
  end)::referral.event_status;
exception
  when check_violation or not_null_violation or invalid_text_representation or numeric_value_out_of_range
    or invalid_parameter_value or datetime_field_overflow or cannot_coerce
  then
    perform referral_private.raise_error('invalid_event');
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.resolve_parked_event from public;

grant execute on function referral_private.resolve_parked_event to service_role;
