-- A code belongs to a referrer, or, as a campaign code, to the organisation. The text of a code is never given out
-- twice: rows are not deleted, and the normal form of the text is unique.
create type referral.code_status as enum ('active', 'suspended', 'rotated', 'invalidated', 'expired');

-- How often a limited code may be used. A code and the codes it was rotated into share one quota; codes without a
-- limit have none. The counter is not on the codes row, where every use would lock the code.
create table referral.code_quotas (
  org_id uuid not null,
  quota_id uuid not null default gen_random_uuid(),
  used int not null default 0,
  max_uses int not null,
  constraint code_quotas_pkey primary key (org_id, quota_id),
  constraint code_quotas_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint code_quotas_never_exceeded check (used between 0 and max_uses),
  constraint code_quotas_allow_a_use check (max_uses >= 1)
);

comment on table referral.code_quotas is
  'Uses and limit of limited codes. Read by coordinators and admins of the organisation; code_uses tells a referrer
those of theirs. Written by create_code and redeem_code.';

-- What an argument that a constraint refuses must be.
comment on constraint code_quotas_never_exceeded on referral.code_quotas is
  'max_uses: as many as there are uses, or more';
comment on constraint code_quotas_allow_a_use on referral.code_quotas is 'max_uses: 1 or more';

alter table referral.code_quotas enable row level security;

create table referral.codes (
  id uuid not null default gen_random_uuid(),
  org_id uuid not null,
  program_id uuid not null,
  code text not null,
  code_key text collate "C" not null generated always as (referral_private.normalise_code(code)) stored,
  referrer_id uuid,
  beneficiary_id uuid,
  description text,
  status referral.code_status not null default 'active',
  expires_at timestamptz,
  quota_id uuid,
  rotation int not null default 0,
  -- The first code of its chain of rotations; null for that code itself.
  chain_id uuid,
  replaced_by uuid,
  redeemable_until timestamptz,
  batch_id uuid,
  created_by uuid,
  ended_at timestamptz,
  ended_by uuid,
  reason text,
  -- When its text was chosen, a code of another organisation on the shared link host looked like it.
  looks_like_another boolean not null default false,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  constraint codes_pkey primary key (id),
  constraint codes_org_and_id_are_unique unique (org_id, id),
  constraint codes_key_is_unique unique (code_key),
  constraint codes_belong_to_a_program
    foreign key (org_id, program_id) references referral.programs (org_id, id)
      on delete restrict,
  constraint codes_referrer_is_a_member
    foreign key (org_id, referrer_id) references referral.members (org_id, user_id)
      on delete restrict,
  constraint codes_have_a_quota
    foreign key (org_id, quota_id) references referral.code_quotas (org_id, quota_id)
      on delete restrict,
  constraint codes_are_replaced_by_a_code
    foreign key (org_id, replaced_by) references referral.codes (org_id, id)
      on delete restrict
      deferrable initially deferred,
  constraint codes_chain_begins_with_a_code
    foreign key (org_id, chain_id) references referral.codes (org_id, id)
      on delete restrict
      deferrable initially immediate,
  constraint codes_description_is_500_at_most check (length(description) <= 500),
  constraint codes_description_is_one_line check (referral_private.is_one_line(description)),
  constraint codes_reason_is_500_at_most check (length(reason) <= 500),
  constraint codes_reason_is_one_line check (referral_private.is_one_line(reason)),
  constraint codes_expire_at_a_time check (isfinite(expires_at)),
  constraint codes_rotation_is_counted check (rotation >= 0),
  constraint codes_unrotated_begin_their_chain check ((rotation = 0) = (chain_id is null)),
  constraint codes_rotated_are_replaced check ((status = 'rotated') = (replaced_by is not null)),
  constraint codes_only_rotated_have_grace check (redeemable_until is null or status = 'rotated'),
  constraint codes_ended_say_when check ((status in ('rotated', 'invalidated', 'expired')) = (ended_at is not null))
);

create unique index codes_one_active on referral.codes (referrer_id, org_id) where status = 'active';

create index codes_by_referrer on referral.codes (referrer_id, org_id, created_at desc);

create index codes_live on referral.codes (referrer_id, org_id) where status in ('active', 'suspended');

create index codes_in_grace on referral.codes (referrer_id, org_id, redeemable_until)
where redeemable_until is not null;

create index codes_replaced on referral.codes (referrer_id, org_id, ended_at)
where status in ('rotated', 'invalidated');

create index codes_by_program on referral.codes (org_id, program_id, created_at desc, id);

create index codes_by_organisation on referral.codes (org_id, created_at desc, id);

create index codes_by_creator on referral.codes (org_id, created_by) where referrer_id is null and batch_id is null;

create index codes_by_beneficiary on referral.codes (org_id, beneficiary_id) where beneficiary_id is not null;

create index codes_by_batch on referral.codes (org_id, batch_id, created_at desc, id) where batch_id is not null;

create index codes_to_expire on referral.codes (expires_at) where status in ('active', 'suspended');

create index codes_by_look on referral.codes (referral_private.look_of(code_key), org_id)
where status in ('active', 'suspended');

create index codes_by_quota on referral.codes (org_id, quota_id) where quota_id is not null;

create index codes_by_chain on referral.codes (org_id, chain_id) where chain_id is not null;

create index codes_by_replacement on referral.codes (org_id, replaced_by) where replaced_by is not null;

comment on table referral.codes is
  'Codes. looks_like_another says that a code of another organisation looked like this one when staff chose its text.
Read by coordinators and admins of the organisation; a referrer reads their own with list_codes. Written by the
functions of their life: create, rotate, suspend, update, end, expire.';

-- What an argument that a constraint refuses must be.
comment on constraint codes_description_is_500_at_most on referral.codes is 'description: up to 500 characters';
comment on constraint codes_description_is_one_line on referral.codes is
  'description: one line, without control and bidirectional characters';
comment on constraint codes_reason_is_500_at_most on referral.codes is 'reason: up to 500 characters';
comment on constraint codes_reason_is_one_line on referral.codes is
  'reason: one line, without control and bidirectional characters';
comment on constraint codes_expire_at_a_time on referral.codes is 'expires_at: a time, or null, but not infinity';

alter table referral.codes enable row level security;

create policy codes_staff_reads on referral.codes
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.codes to authenticated, service_role;

create policy code_quotas_staff_reads on referral.code_quotas
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.code_quotas to authenticated, service_role;

-- Refuses changes of a code's identity, changes of an ended code, and deletion.
create function referral_private.guard_code()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op in ('DELETE', 'TRUNCATE')
    or (new.id, new.org_id, new.program_id, new.code, new.created_at)
      is distinct from (old.id, old.org_id, old.program_id, old.code, old.created_at)
    or (new.referrer_id, new.created_by, new.rotation, new.chain_id, new.batch_id, new.looks_like_another)
      is distinct from (
        old.referrer_id, old.created_by, old.rotation, old.chain_id, old.batch_id, old.looks_like_another
      )
    or (
      old.status in ('rotated', 'invalidated', 'expired')
      and (
        (new.status, new.expires_at, new.replaced_by) is distinct from (old.status, old.expires_at, old.replaced_by)
        or (new.quota_id is distinct from old.quota_id and old.redeemable_until is null)
        or new.redeemable_until > old.redeemable_until
        or (new.redeemable_until is null) <> (old.redeemable_until is null)
      )
    )
  then
    perform referral_private.raise_error('code_ended');
  end if;
  return new;
end
$$;

create trigger codes_keep_what_they_are
before update or delete on referral.codes
for each row
execute function referral_private.guard_code();

alter table referral.codes enable always trigger codes_keep_what_they_are;

create trigger codes_are_never_truncated
before truncate on referral.codes
for each statement
execute function referral_private.guard_code();

-- Every change of a code's status, and every grace that was cut short: written by trigger, so that no function can
-- forget it.
create table referral.code_changes (
  org_id uuid not null,
  id bigint generated always as identity,
  code_id uuid not null,
  from_status referral.code_status,
  to_status referral.code_status not null,
  actor_id uuid,
  reason text,
  changed_at timestamptz not null default clock_timestamp(),
  constraint code_changes_pkey primary key (org_id, id),
  constraint code_changes_are_of_a_code
    foreign key (org_id, code_id) references referral.codes (org_id, id)
      on delete restrict
);

create index code_changes_by_code on referral.code_changes (org_id, code_id, id);

comment on table referral.code_changes is
  'The audit of codes: who changed which status when, and why; no actor is the operator or a job. Read by coordinators
and admins of the organisation. Written by trigger.';

alter table referral.code_changes enable row level security;

create policy code_changes_staff_reads on referral.code_changes
for select
to authenticated
using (org_id = any (referral_private.org_ids_with_role('coordinator')));

grant select on referral.code_changes to authenticated, service_role;

-- Writes down that a code was made, that its status changed, or that its grace was cut short.
create function referral_private.record_code_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'INSERT' or new.status <> old.status or new.redeemable_until < old.redeemable_until then
    insert into referral.code_changes (org_id, code_id, from_status, to_status, actor_id, reason)
    values (new.org_id, new.id, case when tg_op = 'UPDATE' then old.status end, new.status, auth.uid(), new.reason);
  end if;
  return null;
end
$$;

create trigger codes_record_their_changes
after insert or update of status, redeemable_until on referral.codes
for each row
execute function referral_private.record_code_change();
