-- Facts about what was reversed or is held: refunds, disputes, warnings, credit notes.

-- Refunds by id. The rank of a status: 2 failed or canceled, 1 succeeded, 0 every other; it only rises.
create table referral_private.refunds (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  refund_id text collate "C" not null,
  payment_key text collate "C",
  amount bigint not null,
  status_rank smallint not null,
  stated_at timestamptz not null,
  stated_by text collate "C" not null,
  constraint refunds_pkey primary key (refund_id, stripe_account, livemode),
  constraint refunds_amount_is_exact_in_javascript check (amount between 0 and 9007199254740991),
  constraint refunds_status_rank_is_known check (status_rank between 0 and 2)
);

create index refunds_by_payment on referral_private.refunds (payment_key, stripe_account, livemode);

alter table referral_private.refunds enable row level security;

create table referral_private.disputes (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  dispute_id text collate "C" not null,
  payment_key text collate "C" not null,
  amount bigint not null,
  currency text collate "C" not null,
  stated_at timestamptz not null,
  stated_by text collate "C" not null,
  constraint disputes_pkey primary key (dispute_id, stripe_account, livemode),
  constraint disputes_amount_is_exact_in_javascript check (amount between 0 and 9007199254740991)
);

create index disputes_by_payment on referral_private.disputes (payment_key, stripe_account, livemode);

alter table referral_private.disputes enable row level security;

-- What a dispute withdrew and reinstated, in the currency of settlement: the union over its events.
create table referral_private.dispute_transactions (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  dispute_id text collate "C" not null,
  transaction_id text collate "C" not null,
  amount bigint not null,
  currency text collate "C" not null,
  constraint dispute_transactions_pkey
    primary key (dispute_id, transaction_id, amount, currency, stripe_account, livemode)
);

alter table referral_private.dispute_transactions enable row level security;

-- Early fraud warnings and inquiries: they reverse nothing, and hold.
create table referral_private.warnings (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  warning_id text collate "C" not null,
  payment_key text collate "C" not null,
  warned_at timestamptz not null,
  constraint warnings_pkey primary key (warning_id, stripe_account, livemode)
);

create index warnings_by_payment on referral_private.warnings (payment_key, stripe_account, livemode);

alter table referral_private.warnings enable row level security;

-- What a credit note reverses outside of refunds. A void one reverses nothing.
create table referral_private.credit_notes (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  credit_note_id text collate "C" not null,
  invoice_id text collate "C" not null,
  outside bigint not null,
  void boolean not null,
  stated_at timestamptz not null,
  stated_by text collate "C" not null,
  constraint credit_notes_pkey primary key (credit_note_id, stripe_account, livemode),
  constraint credit_notes_outside_is_exact_in_javascript check (outside between 0 and 9007199254740991)
);

create index credit_notes_by_invoice on referral_private.credit_notes (invoice_id, stripe_account, livemode);

alter table referral_private.credit_notes enable row level security;

-- How much of a refund a credit note assigns to its invoice.
create table referral_private.credit_note_refunds (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  credit_note_id text collate "C" not null,
  refund_id text collate "C" not null,
  amount bigint not null,
  constraint credit_note_refunds_pkey primary key (credit_note_id, refund_id, stripe_account, livemode)
);

alter table referral_private.credit_note_refunds enable row level security;
