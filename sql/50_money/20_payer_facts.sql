-- Facts about who pays. A carrier is the customer of an object; without one, the invoice or intent itself. Ids are
-- compared byte by byte, whatever the database's collation is: their order decides ties.

-- The users who can be linked to a payer of this Stripe account: people whom the project knows, as users, members or
-- referees. A user id that is none of theirs, such as a shop's own, links nobody. Written when a name is first looked
-- up, and never removed; users can be deleted. `signed_up_at` is for programs for new users.
create table referral_private.known_users (
  stripe_account text collate "C" not null,
  user_id uuid not null,
  signed_up_at timestamptz,
  constraint known_users_pkey primary key (user_id, stripe_account)
);

alter table referral_private.known_users enable row level security;

-- A link: an object of this carrier named this user, first at this time. It is no evidence by itself. Ids that are not
-- known are stored too: they may become known.
create table referral_private.payer_users (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  carrier text collate "C" not null,
  user_id uuid not null,
  linked_at timestamptz not null,
  -- When the project heard of it. It says nothing about money: recent links are looked up again.
  stored_at timestamptz not null default clock_timestamp(),
  constraint payer_users_pkey primary key (carrier, user_id, stripe_account, livemode)
);

create index payer_users_by_user on referral_private.payer_users (user_id, stripe_account, livemode, carrier);

create index payer_users_by_time on referral_private.payer_users (stored_at);

alter table referral_private.payer_users enable row level security;

-- An object named both a customer and an account that acts as one: they are one payer, the customer.
create table referral_private.customer_accounts (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  customer_account text collate "C" not null,
  customer_id text collate "C" not null,
  constraint customer_accounts_pkey primary key (customer_account, stripe_account, livemode)
);

create index customer_accounts_by_customer on referral_private.customer_accounts (
  customer_id,
  stripe_account,
  livemode
);

alter table referral_private.customer_accounts enable row level security;

-- What can credit a referrer, in the order in which it counts among equal times: the redemption of the payer's person,
-- the id of a redemption in metadata, a code in metadata, a promotion code, a code in client_reference_id, and one
-- there behind a payment link, where the buyer can edit it.
create type referral_private.evidence_kind as enum (
  'redemption',
  'redemption_id',
  'metadata_code',
  'promotion_code',
  'client_reference',
  'payment_link'
);

-- Evidence: this object of the carrier's named a redemption, a code or a promotion code.
create table referral_private.payer_evidence (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  carrier text collate "C" not null,
  kind referral_private.evidence_kind not null,
  named text collate "C" not null,
  object_id text collate "C" not null,
  carried_at timestamptz not null,
  constraint payer_evidence_pkey primary key (carrier, kind, named, object_id, stripe_account, livemode),
  constraint payer_evidence_is_carried check (kind != 'redemption')
);

create index payer_evidence_by_name on referral_private.payer_evidence (named, carried_at);

create index payer_evidence_by_object on referral_private.payer_evidence (object_id, stripe_account, livemode);

create index payer_evidence_by_time on referral_private.payer_evidence (carried_at);

alter table referral_private.payer_evidence enable row level security;

-- Which of our codes a promotion code belongs to, as each event says: to none where `code_key` is null. Where the event
-- says that this changed, `previous_key` is what it was before. The statements are a history.
create table referral_private.promotion_code_statements (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  promotion_code_id text collate "C" not null,
  stated_at timestamptz not null,
  stated_by text collate "C" not null,
  code_key text collate "C",
  states_previous boolean not null,
  previous_key text collate "C",
  constraint promotion_code_statements_pkey
    primary key (promotion_code_id, stated_at, stated_by, stripe_account, livemode)
);

create index promotion_code_statements_by_code on referral_private.promotion_code_statements (code_key);

create index promotion_code_statements_by_previous on referral_private.promotion_code_statements (previous_key)
where previous_key is not null;

alter table referral_private.promotion_code_statements enable row level security;
