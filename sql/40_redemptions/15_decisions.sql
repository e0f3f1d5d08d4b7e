-- What staff decide: a fact with actor, reason and time, which ends what should not earn. A decision stands until it is
-- withdrawn, and then counts as never made. The row is its own audit.
create type referral.decision_kind as enum ('confirm', 'reject', 'forfeit');

create table referral.decisions (
  org_id uuid not null,
  id uuid not null default gen_random_uuid(),
  kind referral.decision_kind not null,
  -- Of a redemption or a referral. The payers of a rejected referral are in decision_payers.
  program_id uuid,
  person_id uuid,
  redemption_id uuid,
  -- Of a forfeit: the member, or the first code of a chain of rotations.
  member_id uuid,
  chain_id uuid,
  -- Whole seconds: payments from `since` on, before `until`; a null `until` is for ever.
  since timestamptz,
  until timestamptz,
  -- Stated by blocking. Unblocking the member sets `until`.
  by_block boolean not null default false,
  reason text,
  decided_by uuid,
  decided_at timestamptz not null default clock_timestamp(),
  withdrawn_at timestamptz,
  withdrawn_by uuid,
  withdrawal_reason text,
  constraint decisions_pkey primary key (org_id, id),
  constraint decisions_are_in_a_program
    foreign key (org_id, program_id) references referral.programs (org_id, id)
      on delete restrict,
  constraint decisions_are_on_a_redemption
    foreign key (org_id, redemption_id) references referral.redemptions (org_id, id)
      on delete restrict,
  constraint decisions_are_on_a_member
    foreign key (org_id, member_id) references referral.members (org_id, user_id)
      on delete restrict,
  constraint decisions_are_on_a_code
    foreign key (org_id, chain_id) references referral.codes (org_id, id)
      on delete restrict,
  constraint decisions_forfeit_of_a_member_or_a_code
    check (num_nonnulls(member_id, chain_id) = (kind = 'forfeit')::int),
  constraint decisions_forfeit_from_a_time check ((kind = 'forfeit') = (since is not null)),
  constraint decisions_forfeit_until_later check (until is null or coalesce(until > since, false)),
  constraint decisions_forfeit_in_whole_seconds
    check (
      isfinite(since)
      and isfinite(until)
      and extract(epoch from since) % 1 = 0
      and extract(epoch from until) % 1 = 0
    ),
  constraint decisions_forfeit_by_block check (kind = 'forfeit' or not by_block),
  constraint decisions_of_a_program_unless_forfeit check ((kind = 'forfeit') = (program_id is null)),
  constraint decisions_confirm_a_redemption check (kind != 'confirm' or redemption_id is not null),
  constraint decisions_name_the_referee check (redemption_id is null or person_id is not null),
  constraint decisions_of_a_person_in_a_program check (person_id is null or program_id is not null),
  constraint decisions_reason_is_500_at_most check (length(reason) <= 500),
  constraint decisions_reason_is_one_line check (referral_private.is_one_line(reason)),
  constraint decisions_withdrawal_reason_is_500_at_most check (length(withdrawal_reason) <= 500),
  constraint decisions_withdrawal_reason_is_one_line check (referral_private.is_one_line(withdrawal_reason)),
  constraint decisions_withdrawn_say_when
    check (withdrawn_at is not null or num_nonnulls(withdrawn_by, withdrawal_reason) = 0)
);

create index decisions_by_person on referral.decisions (org_id, program_id, person_id);

create index decisions_that_reject on referral.decisions (org_id, program_id)
where kind = 'reject' and withdrawn_at is null;

create index decisions_by_redemption on referral.decisions (org_id, redemption_id) where redemption_id is not null;

create index decisions_by_member on referral.decisions (org_id, member_id) where member_id is not null;

create index decisions_by_chain on referral.decisions (org_id, chain_id) where chain_id is not null;

create index decisions_by_id on referral.decisions (id);

create index decisions_by_time on referral.decisions (org_id, decided_at desc, id);

comment on table referral.decisions is
  'Decisions of staff: confirmed and rejected redemptions, rejected referrals, forfeits. No actor is the operator. Rows
are never deleted; a withdrawn one does not count. Read by coordinators and admins of the organisation. Written by
confirm_redemption, reject_redemption, reject_referral, forfeit_from, withdraw_decision, and by blocking.';

-- What an argument that a constraint refuses must be.
comment on constraint decisions_forfeit_until_later on referral.decisions is
  'until: later than since, by a second or more';
comment on constraint decisions_forfeit_in_whole_seconds on referral.decisions is
  'since, until: times, but not infinity';
comment on constraint decisions_reason_is_500_at_most on referral.decisions is 'reason: up to 500 characters';
comment on constraint decisions_reason_is_one_line on referral.decisions is
  'reason: one line, without control and bidirectional characters';
comment on constraint decisions_withdrawal_reason_is_500_at_most on referral.decisions is
  'reason: up to 500 characters';
comment on constraint decisions_withdrawal_reason_is_one_line on referral.decisions is
  'reason: one line, without control and bidirectional characters';

alter table referral.decisions enable row level security;

create policy decisions_staff_reads on referral.decisions
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.decisions to authenticated, service_role;

-- Lets a decision be withdrawn once, and an open forfeit by blocking end once. Everything else is refused.
create function referral_private.guard_decision()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowed referral.decisions := old;
begin
  if tg_op = 'UPDATE' and old.withdrawn_at is null then
    if old.by_block then
      v_allowed.until := coalesce(old.until, new.until);
    end if;
    v_allowed.withdrawn_at := new.withdrawn_at;
    v_allowed.withdrawn_by := new.withdrawn_by;
    v_allowed.withdrawal_reason := new.withdrawal_reason;
  end if;
  if tg_op <> 'UPDATE' or new is distinct from v_allowed then
    raise exception 'decisions can only be withdrawn' using errcode = 'restrict_violation';
  end if;
  return new;
end
$$;

create trigger decisions_keep_what_they_are
before update or delete on referral.decisions
for each row
execute function referral_private.guard_decision();

alter table referral.decisions enable always trigger decisions_keep_what_they_are;

create trigger decisions_are_on_record
after insert or update on referral.decisions
for each row
execute function referral_private.record_change('decision', 'id');

-- The payers that a referral had when it was rejected. No truncation of decisions gets past this table, which refers to
-- them.
create table referral_private.decision_payers (
  org_id uuid not null,
  decision_id uuid not null,
  stripe_account text collate "C" not null,
  livemode boolean not null,
  payer_id text collate "C" not null,
  constraint decision_payers_pkey primary key (org_id, decision_id, stripe_account, livemode, payer_id),
  constraint decision_payers_are_of_a_decision
    foreign key (org_id, decision_id) references referral.decisions (org_id, id)
      on delete restrict,
  constraint decision_payers_payer_is_1_to_500 check (length(payer_id) between 1 and 500)
);

create index decision_payers_by_payer on referral_private.decision_payers (payer_id, stripe_account, livemode);

alter table referral_private.decision_payers enable row level security;

create trigger decision_payers_are_append_only
before update or delete or truncate on referral_private.decision_payers
for each statement
execute function referral_private.refuse_change();

alter table referral_private.decision_payers enable always trigger decision_payers_are_append_only;

-- The decision that a person's redemption in a program shows: the first rejection that stands, else the first
-- confirmation. No row where none stands.
create function referral_private.standing_decision(p_org_id uuid, p_program_id uuid, p_person_id uuid)
returns setof referral.decisions
language plpgsql
stable
rows 1
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select d.*
  from referral.decisions as d
  where d.org_id = p_org_id and d.program_id = p_program_id and d.person_id = p_person_id and d.withdrawn_at is null
  order by d.kind desc, d.decided_at, d.id
  limit 1;
end
$$;

-- Brings the decision columns of a person's redemption to what stands. A redemption on which nothing stands any more
-- is pending, until it is settled.
create function referral_private.project_decision(p_org_id uuid, p_program_id uuid, p_person_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stands referral.decisions;
  v_decision referral.decision;
begin
  select * into v_stands from referral_private.standing_decision(p_org_id, p_program_id, p_person_id);
  v_decision := case v_stands.kind when 'confirm' then 'confirmed' when 'reject' then 'rejected' end;
  update referral.redemptions as r
  set decision = v_decision, decided_at = v_stands.decided_at, decided_by = v_stands.decided_by,
    decision_reason = v_stands.reason, status = coalesce(v_decision::text, 'pending')::referral.redemption_status,
    confirmed_at = case v_decision when 'confirmed' then coalesce(r.confirmed_at, v_stands.decided_at) end
  where r.org_id = p_org_id and r.program_id = p_program_id and r.referee_id = p_person_id;
end
$$;

-- A person whose referral was rejected before they redeemed has a rejected redemption from the beginning.
create function referral_private.take_earlier_decision()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stands referral.decisions;
begin
  if not exists (
    select from referral.decisions as d
    where d.org_id = new.org_id and d.program_id = new.program_id and d.person_id = new.referee_id
  ) then
    return new;
  end if;
  select * into v_stands
  from referral_private.standing_decision(new.org_id, new.program_id, new.referee_id);
  if v_stands.kind = 'reject' then
    new.status := 'rejected';
    new.decision := 'rejected';
    new.decided_at := v_stands.decided_at;
    new.decided_by := v_stands.decided_by;
    new.decision_reason := v_stands.reason;
  end if;
  return new;
end
$$;

create trigger redemptions_take_earlier_decisions
before insert on referral.redemptions
for each row
execute function referral_private.take_earlier_decision();
