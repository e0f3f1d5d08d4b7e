-- Facts about who pays. A carrier is the customer of an object; without one, the invoice or intent itself.

-- Identity: this carrier is this user. It is no evidence by itself. When the user signed up is kept for programs for
-- new users: users can be deleted.
create table referral_private.payer_users (
  stripe_account text not null,
  livemode boolean not null,
  carrier text not null,
  user_id uuid not null,
  user_created_at timestamptz,
  constraint payer_users_pkey primary key (carrier, user_id, stripe_account, livemode)
);

create index payer_users_by_user on referral_private.payer_users (user_id);

alter table referral_private.payer_users enable row level security;

-- What can credit a referrer, in the order in which it counts among equal times: the redemption of the payer's user,
-- the id of a redemption in metadata, a code in metadata, a promotion code, a code in client_reference_id.
create type referral_private.evidence_kind as enum (
  'redemption',
  'redemption_id',
  'metadata_code',
  'promotion_code',
  'client_reference'
);

-- Evidence: this object of the carrier's named a redemption, a code or a promotion code.
create table referral_private.payer_evidence (
  stripe_account text not null,
  livemode boolean not null,
  carrier text not null,
  kind referral_private.evidence_kind not null,
  named text not null,
  object_id text not null,
  carried_at timestamptz not null,
  constraint payer_evidence_pkey primary key (carrier, kind, named, object_id, stripe_account, livemode),
  constraint payer_evidence_is_carried check (kind != 'redemption')
);

create index payer_evidence_by_name on referral_private.payer_evidence (named);

create index payer_evidence_by_time on referral_private.payer_evidence (carried_at);

alter table referral_private.payer_evidence enable row level security;

-- Which of our codes a promotion code belongs to, by its metadata.
create table referral_private.promotion_codes (
  stripe_account text not null,
  livemode boolean not null,
  promotion_code_id text not null,
  code_key text not null,
  stated_at timestamptz not null,
  stated_by text not null,
  constraint promotion_codes_pkey primary key (promotion_code_id, stripe_account, livemode)
);

alter table referral_private.promotion_codes enable row level security;
