-- Records of payments and refunds of other providers (App Store, Play, RevenueCat, an invoice by post): the app's
-- server makes them, and they become the same facts. The same reference again is the same record; with other content
-- it is a conflict. Test mode and live mode have records of their own.
create table referral_private.recorded_facts (
  org_id uuid not null,
  livemode boolean not null,
  kind text collate "C" not null,
  provider text collate "C" not null,
  ref text collate "C" not null,
  content jsonb not null,
  recorded_at timestamptz not null default clock_timestamp(),
  constraint recorded_facts_pkey primary key (org_id, livemode, kind, provider, ref),
  constraint recorded_facts_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint recorded_facts_kind_is_known check (kind in ('payment', 'refund', 'refund_reversed')),
  constraint recorded_facts_provider_is_a_label check (provider ~ '^[a-z0-9_]{1,32}$'),
  constraint recorded_facts_ref_is_1_to_255 check (ref ~ '^[!-~]+$' and length(ref) <= 255)
);

alter table referral_private.recorded_facts enable row level security;

create trigger recorded_facts_are_append_only
before update or delete or truncate on referral_private.recorded_facts
for each statement
execute function referral_private.refuse_change();

alter table referral_private.recorded_facts enable always trigger recorded_facts_are_append_only;
