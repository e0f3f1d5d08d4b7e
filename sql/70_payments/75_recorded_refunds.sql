-- Refunds that did not go through Stripe, and refunds that failed after all.

create function referral_private.record_refund(
  p_org_id uuid,
  p_provider text,
  p_refund_ref text,
  p_payment_ref text,
  p_amount bigint,
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
  v_stripe_account text;
  v_payment_id text := referral_private.recorded_id(p_org_id, p_provider, p_payment_ref);
begin
  perform referral_private.require_amount(p_amount);
  if p_payment_ref is null then
    perform referral_private.raise_error('invalid_argument', 'payment_ref: required');
  end if;
  v_status := referral_private.store_record(
    p_org_id, v_livemode, 'refund', p_provider, p_refund_ref,
    jsonb_build_object('payment_ref', p_payment_ref, 'amount', p_amount)
  );
  if v_status = 'applied' then
    v_stripe_account := referral_private.stripe_account_of(p_org_id);
    insert into referral_private.refunds as r (
      stripe_account, livemode, refund_id, payment_key, amount, status_rank, stated_at, stated_by
    )
    values (
      v_stripe_account, v_livemode, referral_private.recorded_id(p_org_id, p_provider, p_refund_ref), v_payment_id,
      p_amount, 1, 'epoch', v_payment_id
    )
    on conflict on constraint refunds_pkey do update
    set payment_key = excluded.payment_key, amount = excluded.amount;
    perform referral_private.settle_recorded(v_stripe_account, v_livemode, v_payment_id);
  end if;
  return query select p_refund_ref, v_status;
end
$$;

comment on function referral_private.record_refund is
  'public: Records a refund of a recorded payment. The refund may be recorded before its payment.

group: Take payments
org_id: the organisation
provider: a lower-case label
refund_ref: the provider''s reference, up to 255 printable characters
payment_ref: the reference of the payment
amount: minor units
options: as record_payment; a refund is of a payment of its mode
callers: the operator
errors: organisation_not_found, record_conflict, invalid_argument, busy
returns: a row
timeout: 10s';

grant execute on function referral_private.record_refund to service_role;

-- The failure may be recorded before its refund.
create function referral_private.record_refund_reversed(
  p_org_id uuid,
  p_provider text,
  p_refund_ref text,
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
  v_stripe_account text;
  v_payment_id text;
begin
  v_status := referral_private.store_record(
    p_org_id, v_livemode, 'refund_reversed', p_provider, p_refund_ref, '{}'
  );
  if v_status = 'applied' then
    v_stripe_account := referral_private.stripe_account_of(p_org_id);
    insert into referral_private.refunds as r (
      stripe_account, livemode, refund_id, amount, status_rank, stated_at, stated_by
    )
    values (
      v_stripe_account, v_livemode, referral_private.recorded_id(p_org_id, p_provider, p_refund_ref), 0, 2, 'epoch',
      p_refund_ref
    )
    on conflict on constraint refunds_pkey do update
    set status_rank = 2
    returning r.payment_key into v_payment_id;
    if v_payment_id is not null then
      perform referral_private.settle_recorded(v_stripe_account, v_livemode, v_payment_id);
    end if;
  end if;
  return query select p_refund_ref, v_status;
end
$$;

comment on function referral_private.record_refund_reversed is
  'public: Records that a refund failed after all.

group: Take payments
org_id: the organisation
provider: a lower-case label
refund_ref: the reference of the refund
options: as record_payment
callers: the operator
errors: organisation_not_found, record_conflict, invalid_argument, busy
returns: a row
timeout: 10s';

grant execute on function referral_private.record_refund_reversed to service_role;
