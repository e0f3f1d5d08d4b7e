-- Payments of other providers (App Store, Play, RevenueCat, an invoice by post): the app's server records them, and they
-- become the same facts. The same reference again is the same record; with other content it is a conflict.
create table referral_private.recorded_facts (
  org_id uuid not null,
  kind text not null,
  provider text not null,
  ref text not null,
  content jsonb not null,
  recorded_at timestamptz not null default clock_timestamp(),
  constraint recorded_facts_pkey primary key (org_id, kind, provider, ref),
  constraint recorded_facts_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint recorded_facts_kind_is_known check (kind in ('payment', 'refund', 'refund_reversed')),
  constraint recorded_facts_provider_is_a_label check (provider ~ '^[a-z0-9_]{1,32}$'),
  constraint recorded_facts_ref_is_1_to_255 check (ref ~ '^[!-~]{1,255}$')
);

alter table referral_private.recorded_facts enable row level security;

create trigger recorded_facts_are_append_only
before update or delete or truncate on referral_private.recorded_facts
for each statement
execute function referral_private.refuse_change();

alter table referral_private.recorded_facts enable always trigger recorded_facts_are_append_only;

create type referral.recorded_fact as (ref text, status referral.event_status);

-- Notes a record under the account lock. False where it is there already; raises `record_conflict` where it says otherwise.
create function referral_private.note_record(p_fact referral_private.recorded_facts)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_known jsonb;
begin
  if num_nulls(p_fact.provider, p_fact.ref) > 0 then
    perform referral_private.raise_error('invalid_argument', 'provider, ref');
  end if;
  perform referral_private.require_role(p_fact.org_id, 'admin');
  perform referral_private.lock_account_of(p_fact.org_id);
  insert into referral_private.recorded_facts (org_id, kind, provider, ref, content)
  values (p_fact.org_id, p_fact.kind, p_fact.provider, p_fact.ref, p_fact.content)
  on conflict on constraint recorded_facts_pkey do nothing;
  if found then
    return true;
  end if;
  select f.content into strict v_known
  from referral_private.recorded_facts as f
  where f.org_id = p_fact.org_id and f.kind = p_fact.kind and f.provider = p_fact.provider and f.ref = p_fact.ref;
  if v_known <> p_fact.content then
    perform referral_private.raise_error('record_conflict');
  end if;
  return false;
end
$$;

revoke execute on function referral_private.note_record from public;

-- The id under which a provider's reference stands among the facts.
create function referral_private.recorded_id(p_org_id uuid, p_provider text, p_ref text)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return concat_ws(':', p_provider, p_org_id, p_ref);
end
$$;

revoke execute on function referral_private.recorded_id from public;

-- Settles what a recorded payment touches.
create function referral_private.settle_recorded(p_account text, p_payment_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_changed referral_private.changed_sales := referral_private.project_sales(p_account, true, array[p_payment_id]);
begin
  perform referral_private.settle(p_account, true, v_changed.payer_ids, v_changed.sale_ids, p_payment_id);
end
$$;

revoke execute on function referral_private.settle_recorded from public;

create function referral_private.record_payment(
  p_org_id uuid,
  p_provider text,
  p_payment_ref text,
  p_referee_id uuid,
  p_amount bigint,
  p_currency text,
  p_tax bigint,
  p_paid_at timestamptz,
  p_program_id uuid
)
returns setof referral.recorded_fact
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_fact referral_private.recorded_facts;
  v_payment referral_private.payments;
  v_violated text;
begin
  if p_amount is null or p_amount not between 1 and 9007199254740991 then
    perform referral_private.raise_error('invalid_argument', 'amount');
  end if;
  if p_currency is null or p_currency !~ '^[a-z]{3}$' then
    perform referral_private.raise_error('invalid_argument', 'currency');
  end if;
  if p_tax not between 0 and p_amount then
    perform referral_private.raise_error('invalid_argument', 'tax');
  end if;
  if p_referee_id is null or p_paid_at is null or not isfinite(p_paid_at) then
    perform referral_private.raise_error('invalid_argument', 'referee_id, paid_at');
  end if;
  v_fact.org_id := p_org_id;
  v_fact.kind := 'payment';
  v_fact.provider := p_provider;
  v_fact.ref := p_payment_ref;
  v_fact.content := jsonb_build_object(
    'referee_id', p_referee_id, 'amount', p_amount, 'currency', p_currency, 'tax', p_tax,
    'paid_at', extract(epoch from p_paid_at), 'program_id', p_program_id
  );
  if not referral_private.note_record(v_fact) then
    return query select p_payment_ref, 'duplicate'::referral.event_status;
    return;
  end if;
  if p_program_id is not null and not exists (
    select from referral.programs as p where p.org_id = p_org_id and p.id = p_program_id
  ) then
    perform referral_private.raise_error('program_not_found');
  end if;

  v_payment.account := referral_private.account_of(p_org_id);
  v_payment.livemode := true;
  v_payment.payment_id := referral_private.recorded_id(p_org_id, p_provider, p_payment_ref);
  v_payment.source := 'record';
  v_payment.customer_id := concat_ws(':', 'user', p_org_id, p_referee_id);
  v_payment.org_id := p_org_id;
  v_payment.program_id := p_program_id;
  v_payment.names_referral := true;
  v_payment.currency := p_currency;
  v_payment.paid := p_amount;
  v_payment.total := p_amount;
  v_payment.total_excluding_tax := p_amount - p_tax;
  v_payment.sale_at := p_paid_at;
  v_payment.paid_at := p_paid_at;
  v_payment.stated_at := p_paid_at;
  v_payment.stated_by := v_payment.payment_id;
  insert into referral_private.payments select v_payment.*;
  insert into referral_private.payer_users (account, livemode, carrier, user_id, user_created_at)
  values (
    v_payment.account, true, v_payment.customer_id, p_referee_id, (select u.created_at from auth.users as u where u.id = p_referee_id)
  )
  on conflict do nothing;
  perform referral_private.settle_recorded(v_payment.account, v_payment.payment_id);
  return query select p_payment_ref, 'applied'::referral.event_status;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.record_payment from public;

grant execute on function referral_private.record_payment to service_role;

-- A refund of a recorded payment, which may come later than its refund.
create function referral_private.record_refund(
  p_org_id uuid,
  p_provider text,
  p_refund_ref text,
  p_payment_ref text,
  p_amount bigint
)
returns setof referral.recorded_fact
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_fact referral_private.recorded_facts;
  v_account text;
  v_payment_id text := referral_private.recorded_id(p_org_id, p_provider, p_payment_ref);
  v_violated text;
begin
  if p_amount is null or p_amount not between 1 and 9007199254740991 then
    perform referral_private.raise_error('invalid_argument', 'amount');
  end if;
  if p_payment_ref is null then
    perform referral_private.raise_error('invalid_argument', 'payment_ref');
  end if;
  v_fact.org_id := p_org_id;
  v_fact.kind := 'refund';
  v_fact.provider := p_provider;
  v_fact.ref := p_refund_ref;
  v_fact.content := jsonb_build_object('payment_ref', p_payment_ref, 'amount', p_amount);
  if not referral_private.note_record(v_fact) then
    return query select p_refund_ref, 'duplicate'::referral.event_status;
    return;
  end if;
  v_account := referral_private.account_of(p_org_id);
  insert into referral_private.refunds as r (account, livemode, refund_id, payment_key, amount, rank, stated_at, stated_by)
  values (
    v_account, true, referral_private.recorded_id(p_org_id, p_provider, p_refund_ref), v_payment_id, p_amount, 1,
    'epoch', v_payment_id
  )
  on conflict on constraint refunds_pkey do update
  set payment_key = excluded.payment_key, amount = excluded.amount;
  perform referral_private.settle_recorded(v_account, v_payment_id);
  return query select p_refund_ref, 'applied'::referral.event_status;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.record_refund from public;

grant execute on function referral_private.record_refund to service_role;

-- A recorded refund that failed after all, also where the refund itself is recorded later.
create function referral_private.record_refund_reversed(p_org_id uuid, p_provider text, p_refund_ref text)
returns setof referral.recorded_fact
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_fact referral_private.recorded_facts;
  v_account text;
  v_payment_id text;
  v_violated text;
begin
  v_fact.org_id := p_org_id;
  v_fact.kind := 'refund_reversed';
  v_fact.provider := p_provider;
  v_fact.ref := p_refund_ref;
  v_fact.content := '{}';
  if not referral_private.note_record(v_fact) then
    return query select p_refund_ref, 'duplicate'::referral.event_status;
    return;
  end if;
  v_account := referral_private.account_of(p_org_id);
  insert into referral_private.refunds as r (account, livemode, refund_id, amount, rank, stated_at, stated_by)
  values (v_account, true, referral_private.recorded_id(p_org_id, p_provider, p_refund_ref), 0, 2, 'epoch', p_refund_ref)
  on conflict on constraint refunds_pkey do update set rank = 2
  returning r.payment_key into v_payment_id;
  if v_payment_id is not null then
    perform referral_private.settle_recorded(v_account, v_payment_id);
  end if;
  return query select p_refund_ref, 'applied'::referral.event_status;
exception
  when check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.record_refund_reversed from public;

grant execute on function referral_private.record_refund_reversed to service_role;
