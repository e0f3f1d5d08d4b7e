-- The states of a code, with their times. Whether a purchase's code was usable is asked for the time at which the
-- purchase carried it, which may be long ago when the purchase is heard of.
create table referral_private.code_states (
  org_id uuid not null,
  code_id uuid not null,
  state_id bigint not null generated always as identity,
  status referral.code_status not null,
  expires_at timestamptz,
  redeemable_until timestamptz,
  since timestamptz not null,
  constraint code_states_pkey primary key (org_id, code_id, state_id),
  constraint code_states_are_of_a_code
    foreign key (org_id, code_id) references referral.codes (org_id, id)
      on delete restrict
);

alter table referral_private.code_states enable row level security;

create trigger code_states_are_append_only
before update or delete or truncate on referral_private.code_states
for each statement
execute function referral_private.refuse_change();

alter table referral_private.code_states enable always trigger code_states_are_append_only;

-- Stores the first states of new codes: with one statement, because a batch has thousands.
create function referral_private.record_first_states()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.code_states (org_id, code_id, status, expires_at, redeemable_until, since)
  select m.org_id, m.id, m.status, m.expires_at, m.redeemable_until, m.created_at from made as m;
  return null;
end
$$;

create trigger codes_record_their_first_states
after insert on referral.codes
referencing new table as made
for each statement
execute function referral_private.record_first_states();

-- Stores each state that differs from the one before.
create function referral_private.record_code_state()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.code_states (org_id, code_id, status, expires_at, redeemable_until, since)
  values (new.org_id, new.id, new.status, new.expires_at, new.redeemable_until, clock_timestamp());
  return null;
end
$$;

create trigger codes_record_their_states
after update of status, expires_at, redeemable_until on referral.codes
for each row
when
  (
    (new.status, new.expires_at, new.redeemable_until) is distinct from (
      old.status,
      old.expires_at,
      old.redeemable_until
    )
  )
execute function referral_private.record_code_state();

-- Whether a purchase that carried this code at this time counts: the code was active then, or rotated and in its grace.
-- Clocks differ, so a state counts from a minute before it began to a minute after its end, in whole seconds.
create function referral_private.is_code_usable(p_org_id uuid, p_code_id uuid, p_at timestamptz)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select
    from (
      select s.status, s.redeemable_until, s.since,
        least(
          case s.status when 'active' then s.expires_at else s.redeemable_until end,
          lead(s.since) over (order by s.state_id)
        ) as until
      from referral_private.code_states as s
      where s.org_id = p_org_id and s.code_id = p_code_id
    ) as s
    where (s.status = 'active' or s.status = 'rotated' and s.redeemable_until is not null)
      and date_trunc('second', p_at) >= date_trunc('second', s.since) - interval '60 seconds'
      and date_trunc('second', p_at) <= date_trunc('second', coalesce(s.until, 'infinity')) + interval '60 seconds'
  );
end
$$;
