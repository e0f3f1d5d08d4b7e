-- Facts about payments, as Stripe and other providers state them. Facts are keyed by object, Stripe account ('' is the
-- platform's own) and livemode; they only grow, and hold no personal data. What is owed is a function of facts alone.

-- What an object says was paid: an invoice, a payment intent, the checkout session that made it, or a payment
-- recorded for another provider. Of several versions by one source the greatest (paid, stated_at, stated_by) is kept.
create type referral_private.payment_source as enum ('invoice', 'intent', 'session', 'record');

create table referral_private.payments (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  payment_id text collate "C" not null,
  source referral_private.payment_source not null,
  customer_id text collate "C",
  org_id uuid,
  program_id uuid,
  -- Of an invoice: its subscription, and the organisation that the subscription's metadata names.
  subscription_id text collate "C",
  subscription_org_id uuid,
  names_referral boolean not null,
  currency text collate "C" not null,
  paid bigint not null,
  total bigint not null,
  total_excluding_tax bigint,
  sale_at timestamptz not null,
  paid_at timestamptz not null,
  -- By the object itself; else it is when the object was first stated paid.
  paid_at_is_stated boolean not null default false,
  made_at timestamptz not null,
  stated_at timestamptz not null,
  stated_by text collate "C" not null,
  constraint payments_pkey primary key (payment_id, source, stripe_account, livemode),
  constraint payments_currency_is_a_code check (currency ~ '^[a-z]{3}$'),
  constraint payments_amounts_are_exact_in_javascript
    check (
      paid between 0 and 9007199254740991
      and abs(total) <= 9007199254740991
      and abs(total_excluding_tax) <= 9007199254740991
    )
);

comment on column referral_private.payments.payment_id is
  'An invoice (in_…), a payment intent (pi_…), or a reference of another provider.';

comment on column referral_private.payments.org_id is 'The organisation that the object''s metadata names.';

comment on column referral_private.payments.names_referral is
  'An intent is a sale of its own only if its metadata names a referral, or a session of mode payment names it.';

comment on column referral_private.payments.sale_at is
  'When the invoice was created, else when it was first stated paid; the end of time while nothing is paid.';

comment on column referral_private.payments.paid_at is
  'When the invoice was paid, else when it was first stated paid; the end of time while nothing is paid.';

comment on column referral_private.payments.made_at is 'When the object was created.';

create index payments_by_customer on referral_private.payments (customer_id, stripe_account, livemode)
where paid > 0;

create index payments_by_subscription on referral_private.payments (subscription_id, stripe_account, livemode)
where subscription_id is not null;

alter table referral_private.payments enable row level security;

-- What a checkout session belongs to: its intent, its invoice, its subscription; and the organisation that it names.
create table referral_private.sessions (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  session_id text collate "C" not null,
  made_at timestamptz not null,
  org_id uuid,
  subscription_id text collate "C",
  invoice_id text collate "C",
  intent_id text collate "C",
  constraint sessions_pkey primary key (session_id, stripe_account, livemode)
);

create index sessions_by_subscription on referral_private.sessions (subscription_id, stripe_account, livemode)
where subscription_id is not null;

create index sessions_by_invoice on referral_private.sessions (invoice_id, stripe_account, livemode)
where invoice_id is not null;

create index sessions_by_intent on referral_private.sessions (intent_id, stripe_account, livemode)
where intent_id is not null;

alter table referral_private.sessions enable row level security;

-- Which payment paid which invoice, as an invoice payment or a session says. Many to many: an intent can pay several.
create table referral_private.invoice_payments (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  object_id text collate "C" not null,
  invoice_id text collate "C" not null,
  payment_key text collate "C" not null,
  amount_paid bigint,
  constraint invoice_payments_pkey primary key (object_id, stripe_account, livemode)
);

create index invoice_payments_by_invoice on referral_private.invoice_payments (invoice_id, stripe_account, livemode);

create index invoice_payments_by_payment on referral_private.invoice_payments (payment_key, stripe_account, livemode);

alter table referral_private.invoice_payments enable row level security;

-- Any object that names both says which intent a charge belongs to.
create table referral_private.charges (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  charge_id text collate "C" not null,
  intent_id text collate "C" not null,
  constraint charges_pkey primary key (charge_id, stripe_account, livemode)
);

create index charges_by_intent on referral_private.charges (intent_id, stripe_account, livemode);

alter table referral_private.charges enable row level security;

-- These references and all others that mean the same payments: a charge is its intent's, where that is known.
create function referral_private.payment_keys(p_stripe_account text, p_livemode boolean, p_ids text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select unnest(p_ids)
    union
    select c.intent_id from referral_private.charges as c
    where c.stripe_account = p_stripe_account and c.livemode = p_livemode and c.charge_id = any (p_ids)
    union
    select c.charge_id from referral_private.charges as c
    where c.stripe_account = p_stripe_account and c.livemode = p_livemode and c.intent_id = any (p_ids)
  );
end
$$;

-- The sales that these payments, invoices and charges can touch: themselves, and all invoices that share a payment.
create function referral_private.touched_sales(p_stripe_account text, p_livemode boolean, p_ids text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids text[] := referral_private.payment_keys(p_stripe_account, p_livemode, p_ids);
  v_paying text[] := array(
    select l.payment_key from referral_private.invoice_payments as l
    where l.stripe_account = p_stripe_account and l.livemode = p_livemode and l.invoice_id = any (v_ids)
  );
begin
  v_ids := v_ids || v_paying;
  if cardinality(v_paying) > 0 then
    v_ids := v_ids || referral_private.payment_keys(p_stripe_account, p_livemode, v_paying);
  end if;
  return array(
    select unnest(v_ids)
    union
    select other.invoice_id
    from referral_private.invoice_payments as other
    where other.stripe_account = p_stripe_account and other.livemode = p_livemode and other.payment_key = any (v_ids)
  );
end
$$;
