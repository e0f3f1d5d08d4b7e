-- Facts about money and identity, as Stripe and other providers state them. They are keyed by Stripe account ('' is the
-- platform's own), livemode and object, only grow, and hold no personal data. What is owed is a function of them alone.

-- What an object says was paid: an invoice, a payment intent, the checkout session that made it, or a payment recorded
-- for another provider. Of several statements by one source the greatest (paid, stated_at, stated_by) is kept.
create type referral_private.payment_source as enum ('invoice', 'intent', 'session', 'record');

create table referral_private.payments (
  account text not null,
  livemode boolean not null,
  payment_id text not null,
  source referral_private.payment_source not null,
  customer_id text,
  org_id uuid,
  program_id uuid,
  names_referral boolean not null,
  currency text not null,
  paid bigint not null,
  total bigint not null,
  total_excluding_tax bigint,
  sale_at timestamptz not null,
  paid_at timestamptz not null,
  stated_at timestamptz not null,
  stated_by text not null,
  constraint payments_pkey primary key (payment_id, source, account, livemode),
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

comment on column referral_private.payments.org_id is 'Set where the sale is restricted to one organisation.';

comment on column referral_private.payments.names_referral is
  'An intent is a sale of its own only if its metadata names a referral, or a session of mode payment names it.';

comment on column referral_private.payments.sale_at is
  'When the invoice was created, else when it was first stated paid; the end of time while nothing is paid.';

-- Which payment paid which invoice, as an invoice payment or a session says. Many to many: an intent can pay several.
create table referral_private.invoice_payments (
  account text not null,
  livemode boolean not null,
  link_id text not null,
  invoice_id text not null,
  payment_key text not null,
  amount_paid bigint,
  constraint invoice_payments_pkey primary key (link_id, account, livemode)
);

create index invoice_payments_by_invoice on referral_private.invoice_payments (invoice_id, account, livemode);

create index invoice_payments_by_payment on referral_private.invoice_payments (payment_key, account, livemode);

-- Any object that names both says which intent a charge belongs to.
create table referral_private.charges (
  account text not null,
  livemode boolean not null,
  charge_id text not null,
  intent_id text not null,
  constraint charges_pkey primary key (charge_id, account, livemode)
);

create index charges_by_intent on referral_private.charges (intent_id, account, livemode);

-- Refunds by id. Rank: 2 failed or canceled, 1 succeeded, 0 every other status; it only rises.
create table referral_private.refunds (
  account text not null,
  livemode boolean not null,
  refund_id text not null,
  payment_key text,
  amount bigint not null,
  rank smallint not null,
  stated_at timestamptz not null,
  stated_by text not null,
  constraint refunds_pkey primary key (refund_id, account, livemode),
  constraint refunds_amount_is_exact_in_javascript check (amount between 0 and 9007199254740991),
  constraint refunds_rank_is_known check (rank between 0 and 2)
);

create index refunds_by_payment on referral_private.refunds (payment_key, account, livemode);

create table referral_private.disputes (
  account text not null,
  livemode boolean not null,
  dispute_id text not null,
  payment_key text not null,
  amount bigint not null,
  currency text not null,
  stated_at timestamptz not null,
  stated_by text not null,
  constraint disputes_pkey primary key (dispute_id, account, livemode),
  constraint disputes_amount_is_exact_in_javascript check (amount between 0 and 9007199254740991)
);

create index disputes_by_payment on referral_private.disputes (payment_key, account, livemode);

-- What a dispute took and gave back, in the settlement currency: the union over its events, by id.
create table referral_private.dispute_transactions (
  account text not null,
  livemode boolean not null,
  dispute_id text not null,
  transaction_id text not null,
  amount bigint not null,
  constraint dispute_transactions_pkey primary key (dispute_id, transaction_id, account, livemode)
);

-- Early fraud warnings and inquiries: they take nothing, and hold.
create table referral_private.warnings (
  account text not null,
  livemode boolean not null,
  warning_id text not null,
  payment_key text not null,
  warned_at timestamptz not null,
  constraint warnings_pkey primary key (warning_id, account, livemode)
);

create index warnings_by_payment on referral_private.warnings (payment_key, account, livemode);

-- What a credit note gives back outside of refunds. A void one gives back nothing.
create table referral_private.credit_notes (
  account text not null,
  livemode boolean not null,
  credit_note_id text not null,
  invoice_id text not null,
  outside bigint not null,
  void boolean not null,
  stated_at timestamptz not null,
  stated_by text not null,
  constraint credit_notes_pkey primary key (credit_note_id, account, livemode),
  constraint credit_notes_outside_is_exact_in_javascript check (outside between 0 and 9007199254740991)
);

create index credit_notes_by_invoice on referral_private.credit_notes (invoice_id, account, livemode);

-- How much of a refund a credit note assigns to its invoice.
create table referral_private.credit_note_refunds (
  account text not null,
  livemode boolean not null,
  credit_note_id text not null,
  refund_id text not null,
  amount bigint not null,
  constraint credit_note_refunds_pkey primary key (credit_note_id, refund_id, account, livemode)
);

-- Identity: whoever carries this (a customer; without one, the invoice or intent itself) is this user. No evidence by
-- itself. The user's age is noted for programs for new users: accounts can be deleted.
create table referral_private.payer_users (
  account text not null,
  livemode boolean not null,
  carrier text not null,
  user_id uuid not null,
  user_created_at timestamptz,
  constraint payer_users_pkey primary key (carrier, user_id, account, livemode)
);

create index payer_users_by_user on referral_private.payer_users (user_id);

-- Evidence: this object of the carrier's named a redemption, a code or a promotion code. Lower priorities speak first
-- among equal times: 2 a redemption, 3 a code in metadata, 4 a promotion code, 5 a code in client_reference_id.
create table referral_private.payer_evidence (
  account text not null,
  livemode boolean not null,
  carrier text not null,
  priority smallint not null,
  named text not null,
  object_id text not null,
  carried_at timestamptz not null,
  constraint payer_evidence_pkey primary key (carrier, priority, named, object_id, account, livemode),
  constraint payer_evidence_priority_is_known check (priority between 2 and 5)
);

create index payer_evidence_by_name on referral_private.payer_evidence (named);

create index payer_evidence_by_time on referral_private.payer_evidence (carried_at);

-- Which of our codes a promotion code belongs to, by its metadata.
create table referral_private.promotion_codes (
  account text not null,
  livemode boolean not null,
  promotion_code_id text not null,
  code_key text not null,
  stated_at timestamptz not null,
  stated_by text not null,
  constraint promotion_codes_pkey primary key (promotion_code_id, account, livemode)
);

alter table referral_private.payments enable row level security;

alter table referral_private.invoice_payments enable row level security;

alter table referral_private.charges enable row level security;

alter table referral_private.refunds enable row level security;

alter table referral_private.disputes enable row level security;

alter table referral_private.dispute_transactions enable row level security;

alter table referral_private.warnings enable row level security;

alter table referral_private.credit_notes enable row level security;

alter table referral_private.credit_note_refunds enable row level security;

alter table referral_private.payer_users enable row level security;

alter table referral_private.payer_evidence enable row level security;

alter table referral_private.promotion_codes enable row level security;
