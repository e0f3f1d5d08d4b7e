-- A redemption says that a referee used a code: it is the audit row of the use and the claim to a reward in one. It
-- outlives the code and the referee, and stores the version of the terms it was made under.
create type referral.redemption_status as enum ('pending', 'confirmed', 'reversed', 'expired', 'rejected');

-- What staff may decide on a redemption, whatever the payments say.
create type referral.decision as enum ('confirmed', 'rejected');

-- How the code reached the referee. All but `typed` are proved by a click.
create type referral.provenance as enum ('typed', 'link', 'install_referrer', 'clipboard');

create table referral.redemptions (
  org_id uuid not null,
  id uuid not null default gen_random_uuid(),
  program_id uuid not null,
  terms_version int not null,
  code_id uuid not null,
  referrer_id uuid,
  referee_id uuid not null,
  status referral.redemption_status not null default 'pending',
  provenance referral.provenance not null default 'typed',
  channel text collate "C",
  -- Copied from the click, which is forgotten with its month.
  click_id uuid,
  clicked_at timestamptz,
  redeemed_at timestamptz not null default clock_timestamp(),
  confirmed_at timestamptz,
  decision referral.decision,
  decided_at timestamptz,
  decided_by uuid,
  decision_reason text,
  constraint redemptions_pkey primary key (org_id, id),
  constraint redemptions_one_per_referee unique (org_id, program_id, referee_id),
  constraint redemptions_use_a_code
    foreign key (org_id, code_id) references referral.codes (org_id, id)
      on delete restrict,
  constraint redemptions_have_terms
    foreign key (org_id, program_id, terms_version) references referral.program_terms (org_id, program_id, version)
      on delete restrict,
  constraint redemptions_no_self_referral check (referee_id != referrer_id),
  constraint redemptions_channel_is_a_label check (channel ~ '^[a-z0-9_]{1,32}$'),
  constraint redemptions_proved_by_a_click check ((provenance = 'typed') = (click_id is null)),
  constraint redemptions_clicked_say_when check ((click_id is null) = (clicked_at is null)),
  constraint redemptions_decided_say_when check ((decision is null) = (decided_at is null)),
  constraint redemptions_rejected_by_decision check ((status = 'rejected') = coalesce(decision = 'rejected', false)),
  constraint redemptions_decision_reason_is_500_at_most check (length(decision_reason) <= 500),
  constraint redemptions_decision_reason_is_one_line check (referral_private.is_one_line(decision_reason)),
  constraint redemptions_confirmed_say_when check (status != 'confirmed' or confirmed_at is not null),
  constraint redemptions_pending_are_unconfirmed check (status != 'pending' or confirmed_at is null)
);

create unique index redemptions_no_mutual_pair on referral.redemptions (
  org_id,
  program_id,
  least(referrer_id, referee_id),
  greatest(referrer_id, referee_id)
)
where referrer_id is not null;

create unique index redemptions_one_per_click on referral.redemptions (org_id, click_id) where click_id is not null;

create index redemptions_by_referrer on referral.redemptions (referrer_id, org_id, redeemed_at, id);

create index redemptions_by_organisation on referral.redemptions (org_id, redeemed_at desc, id);

create index redemptions_by_id on referral.redemptions (id);

create index redemptions_by_referee on referral.redemptions (referee_id, org_id, redeemed_at, id);

create index redemptions_by_code on referral.redemptions (org_id, code_id, redeemed_at, id);

-- The pending ones of each version of the terms, which says for how long they are.
create index redemptions_pending on referral.redemptions (program_id, terms_version, redeemed_at)
where status = 'pending';

-- For the foreign key alone, with the version first: else a look-up by program and referee could be planned through it.
create index redemptions_by_terms on referral.redemptions (terms_version, program_id, org_id);

comment on table referral.redemptions is
  'Uses of codes. Read by coordinators and admins of the organisation; referrers see theirs without identities through
my_referrals. Written by redeem_code, by decisions of staff, and by payments.';

-- What an argument that a constraint refuses must be.
comment on constraint redemptions_channel_is_a_label on referral.redemptions is
  'channel: 1 to 32 of a to z, 0 to 9 and _';
comment on constraint redemptions_decision_reason_is_500_at_most on referral.redemptions is
  'reason: up to 500 characters';
comment on constraint redemptions_decision_reason_is_one_line on referral.redemptions is
  'reason: one line, without control and bidirectional characters';

alter table referral.redemptions enable row level security;

create policy redemptions_staff_reads on referral.redemptions
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.redemptions to authenticated, service_role;

-- The audit of redemptions: written by trigger, so that no function can forget it. The redemption itself says how it
-- began.
create table referral.redemption_changes (
  org_id uuid not null,
  id bigint generated always as identity,
  redemption_id uuid not null,
  from_status referral.redemption_status not null,
  to_status referral.redemption_status not null,
  actor_id uuid,
  reason text,
  changed_at timestamptz not null default clock_timestamp(),
  constraint redemption_changes_pkey primary key (org_id, id),
  constraint redemption_changes_are_of_a_redemption
    foreign key (org_id, redemption_id) references referral.redemptions (org_id, id)
      on delete restrict
);

create index redemption_changes_by_redemption on referral.redemption_changes (org_id, redemption_id, id);

comment on table referral.redemption_changes is
  'The audit of redemptions: which status changed when; the actor and the reason where staff decided, neither where
payments or a job did. Read by coordinators and admins of the organisation. Written by trigger.';

alter table referral.redemption_changes enable row level security;

create policy redemption_changes_staff_reads on referral.redemption_changes
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.redemption_changes to authenticated, service_role;

-- Writes down that a redemption's status or decision changed.
create function referral_private.record_redemption_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_decided constant boolean := new.decision is distinct from old.decision;
begin
  if v_decided or new.status <> old.status then
    insert into referral.redemption_changes (org_id, redemption_id, from_status, to_status, actor_id, reason)
    values (
      new.org_id, new.id, old.status, new.status,
      case when v_decided then auth.uid() end,
      -- Where a withdrawal brings an earlier decision back, that one's reason is not why.
      case when v_decided and new.decided_at > coalesce(old.decided_at, '-infinity') then new.decision_reason end
    );
  end if;
  return null;
end
$$;

create trigger redemptions_record_their_changes
after update of status, decision on referral.redemptions
for each row
execute function referral_private.record_redemption_change();
