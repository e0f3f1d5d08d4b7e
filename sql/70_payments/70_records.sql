-- Payments that did not go through Stripe: recorded by the app's server, they become the same facts.
create type referral.recorded_fact as (ref text, status referral.event_status);

-- What an argument that a constraint refuses must be.
comment on constraint recorded_facts_provider_is_a_label on referral_private.recorded_facts is
  'provider: 1 to 32 of a to z, 0 to 9 and _';

comment on constraint recorded_facts_ref_is_1_to_255 on referral_private.recorded_facts is
  'payment_ref, refund_ref: 1 to 255 visible characters of ASCII';

comment on constraint postings_are_exact_in_javascript on referral_private.postings is
  'amount: small enough that no sum exceeds 9,007,199,254,740,991';

comment on constraint ledger_accounts_balance_is_exact_in_javascript on referral_private.ledger_accounts is
  'amount: small enough that no sum exceeds 9,007,199,254,740,991';

-- The mode that the options of a record say; live unless they do. Raises `invalid_argument` for an unknown option.
create function referral_private.livemode_of(p_options jsonb)
returns boolean
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(jsonb_typeof(p_options), '') <> 'object' or p_options - 'livemode' <> '{}'
    or coalesce(jsonb_typeof(p_options -> 'livemode'), 'boolean') <> 'boolean'
  then
    perform referral_private.raise_error('invalid_argument', 'options: an object such as {"livemode": false}');
  end if;
  return coalesce((p_options -> 'livemode')::boolean, true);
end
$$;

-- Stores a record under the Stripe account lock. Returns `applied`, or `duplicate` where it is stored already. Raises
-- `record_conflict` where it is stored with other content.
create function referral_private.store_record(
  p_org_id uuid,
  p_livemode boolean,
  p_kind text,
  p_provider text,
  p_ref text,
  p_content jsonb
)
returns referral.event_status
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known jsonb;
begin
  if p_provider is null then
    perform referral_private.raise_error('invalid_argument', 'provider: required');
  end if;
  if p_ref is null then
    perform referral_private.raise_error(
      'invalid_argument', case p_kind when 'payment' then 'payment_ref: required' else 'refund_ref: required' end
    );
  end if;
  perform referral_private.require_role(p_org_id, 'admin');
  perform referral_private.lock_stripe_account_of(p_org_id);
  insert into referral_private.recorded_facts (org_id, livemode, kind, provider, ref, content)
  values (p_org_id, p_livemode, p_kind, p_provider, p_ref, p_content)
  on conflict on constraint recorded_facts_pkey do nothing;
  if found then
    return 'applied';
  end if;
  select f.content into strict v_known
  from referral_private.recorded_facts as f
  where f.org_id = p_org_id and f.livemode = p_livemode and f.kind = p_kind and f.provider = p_provider
    and f.ref = p_ref;
  if v_known <> p_content then
    perform referral_private.raise_error('record_conflict');
  end if;
  return 'duplicate';
end
$$;

-- The id of a provider's reference among the facts.
create function referral_private.recorded_id(p_org_id uuid, p_provider text, p_ref text)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return concat_ws(':', p_provider, p_org_id, p_ref);
end
$$;

-- Refuses an amount that is no whole number of minor units, with `invalid_argument`.
create function referral_private.require_amount(p_amount bigint)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_amount is null or p_amount not between 1 and 9007199254740991 then
    perform referral_private.raise_error('invalid_argument', 'amount: 1 to 9,007,199,254,740,991, in minor units');
  end if;
end
$$;

-- Settles what a recorded payment touches.
create function referral_private.settle_recorded(p_stripe_account text, p_livemode boolean, p_payment_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_changed referral_private.changed_sales := referral_private.project_sales(
    p_stripe_account, p_livemode, array[p_payment_id]
  );
begin
  perform referral_private.settle(
    p_stripe_account, p_livemode, v_changed.payer_ids, v_changed.sale_ids, p_payment_id
  );
end
$$;

-- States a recorded payment and who made it, and settles. The payer is the user, in the organisation.
create function referral_private.state_recorded_payment(p_payment referral_private.payments, p_referee_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  p_payment.source := 'record';
  p_payment.customer_id := concat_ws(':', 'user', p_payment.org_id, p_referee_id);
  p_payment.names_referral := true;
  p_payment.total := p_payment.paid;
  p_payment.sale_at := p_payment.paid_at;
  p_payment.stated_at := p_payment.paid_at;
  p_payment.stated_by := p_payment.payment_id;
  p_payment.made_at := p_payment.paid_at;
  p_payment.paid_at_is_stated := true;
  insert into referral_private.payments select p_payment.*;
  insert into referral_private.known_users (stripe_account, user_id, signed_up_at)
  values (
    p_payment.stripe_account, p_referee_id, (select u.created_at from auth.users as u where u.id = p_referee_id)
  )
  on conflict do nothing;
  if found then
    perform referral_private.settle_users(p_payment.stripe_account, array[p_referee_id], p_payment.payment_id);
  end if;
  insert into referral_private.payer_users (stripe_account, livemode, carrier, user_id, linked_at)
  values (p_payment.stripe_account, p_payment.livemode, p_payment.customer_id, p_referee_id, '-infinity')
  on conflict do nothing;
  perform referral_private.settle_recorded(p_payment.stripe_account, p_payment.livemode, p_payment.payment_id);
end
$$;

create function referral_private.record_payment(
  p_org_id uuid,
  p_provider text,
  p_payment_ref text,
  p_referee_id uuid,
  p_amount bigint,
  p_currency text,
  p_tax bigint default null,
  p_paid_at timestamptz default null,
  p_program_id uuid default null,
  p_options jsonb default '{}'
)
returns setof referral.recorded_fact
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_livemode constant boolean := referral_private.livemode_of(p_options);
  v_status referral.event_status;
  v_payment referral_private.payments;
begin
  perform referral_private.require_amount(p_amount);
  if p_currency is null or p_currency !~ '^[a-z]{3}$' then
    perform referral_private.raise_error('invalid_argument', 'currency: three lower-case letters, such as usd');
  end if;
  if p_tax not between 0 and p_amount then
    perform referral_private.raise_error('invalid_argument', 'tax: 0 to amount');
  end if;
  if p_referee_id is null then
    perform referral_private.raise_error('invalid_argument', 'referee_id: required');
  end if;
  if p_paid_at is null or not isfinite(p_paid_at) then
    perform referral_private.raise_error('invalid_argument', 'paid_at: required, the time at which it was paid');
  end if;
  v_status := referral_private.store_record(
    p_org_id, v_livemode, 'payment', p_provider, p_payment_ref,
    jsonb_build_object(
      'referee_id', p_referee_id, 'amount', p_amount, 'currency', p_currency, 'tax', p_tax,
      'paid_at', extract(epoch from p_paid_at), 'program_id', p_program_id
    )
  );
  if v_status = 'applied' then
    if p_program_id is not null and not exists (
      select from referral.programs as p where p.org_id = p_org_id and p.id = p_program_id
    ) then
      perform referral_private.raise_error('program_not_found');
    end if;
    v_payment.stripe_account := referral_private.stripe_account_of(p_org_id);
    v_payment.livemode := v_livemode;
    v_payment.payment_id := referral_private.recorded_id(p_org_id, p_provider, p_payment_ref);
    v_payment.org_id := p_org_id;
    v_payment.program_id := p_program_id;
    v_payment.currency := p_currency;
    v_payment.paid := p_amount;
    v_payment.total_excluding_tax := p_amount - p_tax;
    v_payment.paid_at := p_paid_at;
    perform referral_private.state_recorded_payment(v_payment, p_referee_id);
  end if;
  return query select p_payment_ref, v_status;
end
$$;

comment on function referral_private.record_payment is
  'public: Records a payment that did not go through Stripe. The same content again returns duplicate.

group: Take payments
org_id: the organisation
provider: a lower-case label
payment_ref: the provider''s reference, up to 255 printable characters
referee_id: the user who paid
amount: minor units, as Stripe counts them: ISK and UGX with two decimals, MGA without
currency: lower-case, such as usd
tax: minor units contained in the amount; unknown unless given
paid_at: required; when it was paid
program_id: every program of the organisation unless given
options: an object: {"livemode": false} records in test mode, where the reference can be used once more
callers: the operator
errors: organisation_not_found, program_not_found, record_conflict, invalid_argument, busy
returns: a row
timeout: 10s';

grant execute on function referral_private.record_payment to service_role;
