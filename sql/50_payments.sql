-- Facts about payments, as Stripe states them. They are keyed by Stripe account ('' is the platform's own), livemode and
-- object, only ever grow, and hold no personal data.
create table referral_private.payments (
  account text not null,
  livemode boolean not null,
  payment_id text not null,
  payer_id text not null,
  org_id uuid,
  currency text not null,
  paid bigint not null,
  total bigint not null,
  total_excluding_tax bigint,
  sale_at timestamptz not null,
  stated_at timestamptz not null,
  stated_by text not null,
  constraint payments_pkey primary key (account, livemode, payment_id),
  constraint payments_currency_is_a_code check (currency ~ '^[a-z]{3}$'),
  constraint payments_amounts_are_exact_in_javascript
    check (
      paid between 0 and 9007199254740991
      and abs(total) <= 9007199254740991
      and abs(total_excluding_tax) <= 9007199254740991
    )
);

create index payments_by_payer on referral_private.payments (account, livemode, payer_id, sale_at);

comment on column referral_private.payments.payment_id is
  'The sale: an invoice (in_…), or a payment intent (pi_…) that belongs to none.';

comment on column referral_private.payments.payer_id is 'The customer, or the payment itself where a guest paid.';

comment on column referral_private.payments.org_id is 'Set where the metadata restricts the sale to one organisation.';

comment on column referral_private.payments.stated_by is
  'The event that the row is taken from: of all that state the payment, the one with the greatest (paid, stated_at, event id).';

-- An intent that pays an invoice is no sale of its own, whichever of the two was heard of first.
create table referral_private.invoiced_payments (
  account text not null,
  livemode boolean not null,
  payment_id text not null,
  constraint invoiced_payments_pkey primary key (account, livemode, payment_id)
);

-- Identity: this payer is this user. Not evidence of a referral by itself.
create table referral_private.payer_users (
  account text not null,
  livemode boolean not null,
  payer_id text not null,
  user_id uuid not null,
  constraint payer_users_pkey primary key (account, livemode, payer_id, user_id)
);

create index payer_users_by_user on referral_private.payer_users (user_id);

-- Evidence: the app's backend named this redemption in the metadata of something the payer paid.
create table referral_private.payer_redemptions (
  account text not null,
  livemode boolean not null,
  payer_id text not null,
  redemption_id uuid not null,
  constraint payer_redemptions_pkey primary key (account, livemode, payer_id, redemption_id)
);

create index payer_redemptions_by_redemption on referral_private.payer_redemptions (redemption_id);

alter table referral_private.payments enable row level security;

alter table referral_private.invoiced_payments enable row level security;

alter table referral_private.payer_users enable row level security;

alter table referral_private.payer_redemptions enable row level security;

create function referral_private.account_lock_key(p_account text)
returns bigint
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return hashtextextended('referral.account:' || p_account, 0);
end
$$;

revoke execute on function referral_private.account_lock_key from public;

-- One lock per Stripe account, held until the transaction ends: whoever states facts or settles takes it first, so
-- that no two settlements see different halves of the truth. Finer locks do not do: a subscription's session and its
-- first invoice share neither a payment nor a sale.
create function referral_private.lock_account(p_account text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(referral_private.account_lock_key(p_account));
end
$$;

revoke execute on function referral_private.lock_account from public;

create function referral_private.account_of(p_org_id uuid)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (select coalesce(o.stripe_account_id, '') from referral.organisations as o where o.id = p_org_id);
end
$$;

revoke execute on function referral_private.account_of from public;
