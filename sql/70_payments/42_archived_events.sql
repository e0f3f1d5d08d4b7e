-- Months of the inbox that are past can be taken out of it, where the operator wants that: their tables can be kept
-- elsewhere. The keys of their events stay, so that a delivery is recognised as a duplicate however late it comes.
create table referral_private.archived_events (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  event_id text collate "C" not null,
  event_created_at timestamptz not null,
  constraint archived_events_pkey primary key (event_created_at, event_id, stripe_account, livemode)
);

alter table referral_private.archived_events enable row level security;

create trigger archived_events_are_append_only
before update or delete or truncate on referral_private.archived_events
for each statement
execute function referral_private.refuse_change();

alter table referral_private.archived_events enable always trigger archived_events_are_append_only;

-- Months that are being taken out: their keys are copied in the order of time, up to this one.
create table referral_private.archived_months (
  month date not null,
  copied_until timestamptz not null default '-infinity',
  -- When its partition was taken out; null until then.
  archived_at timestamptz,
  constraint archived_months_pkey primary key (month)
);

alter table referral_private.archived_months enable row level security;

-- Keeps the key of an event that comes into a month while its keys are copied.
create function referral_private.archive_key()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.archived_events (stripe_account, livemode, event_id, event_created_at)
  values (new.stripe_account, new.livemode, new.event_id, new.created_at)
  on conflict on constraint archived_events_pkey do nothing;
  return null;
end
$$;

-- Makes the partitions of these months of the inbox. The table is locked before its partitions and in its strongest
-- mode at once, so that deliveries wait and cannot deadlock.
create function referral_private.make_event_months(p_months timestamp[])
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_month timestamp;
  v_partition name;
  v_made int := 0;
begin
  if p_months <> '{}' then
    lock table only referral_private.stripe_events in access exclusive mode;
  end if;
  foreach v_month in array p_months loop
    v_partition := referral_private.make_month('referral_private.stripe_events', v_month);
    continue when v_partition is null;
    -- That of the whole table is not one of its partitions.
    execute format(
      'create trigger stripe_events_are_append_only before update or delete or truncate on referral_private.%I
       for each statement execute function referral_private.refuse_change()',
      v_partition
    );
    execute format(
      'alter table referral_private.%I enable always trigger stripe_events_are_append_only', v_partition
    );
    v_made := v_made + 1;
  end loop;
  return v_made;
end
$$;

-- Whether an event of this month waits, or could not be read: then the month stays in the inbox.
create function referral_private.has_open_events(p_month timestamp)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_from constant timestamptz := p_month at time zone 'utc';
  v_to constant timestamptz := (p_month + interval '1 month') at time zone 'utc';
begin
  return exists (
    select from referral_private.unapplied_events as u where u.event_created_at >= v_from and u.event_created_at < v_to
  ) or exists (
    select from referral_private.parked_events as p where p.event_created_at >= v_from and p.event_created_at < v_to
  );
end
$$;

-- Begins to take a month out: from now on it keeps the key of every event that still comes into it. False if it had
-- begun. It waits for the deliveries that are writing to the month.
create function referral_private.begin_archiving(p_month date, p_partition name)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.archived_months (month) values (p_month)
  on conflict on constraint archived_months_pkey do nothing;
  if not found then
    return false;
  end if;
  execute format(
    'create trigger archive_keys after insert on referral_private.%I
     for each row execute function referral_private.archive_key()',
    p_partition
  );
  return true;
end
$$;

-- Copies the keys of so many events of a month, and with them those of the same second. False once all are copied.
create function referral_private.copy_keys(p_month date, p_partition name, p_max_rows int)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
-- Each call reads its part of the month, and not the month.
set enable_seqscan = off
as $$
declare
  v_from timestamptz;
  v_until timestamptz;
begin
  select m.copied_until into strict v_from from referral_private.archived_months as m where m.month = p_month;
  execute format(
    'select max(e.created_at)
     from (
       select p.created_at from referral_private.%I as p where p.created_at > $1 order by p.created_at limit $2
     ) as e',
    p_partition
  )
  into v_until
  using v_from, p_max_rows;
  execute format(
    'insert into referral_private.archived_events (stripe_account, livemode, event_id, event_created_at)
     select p.stripe_account, p.livemode, p.event_id, p.created_at
     from referral_private.%I as p
     where p.created_at > $1 and p.created_at <= $2
     on conflict on constraint archived_events_pkey do nothing',
    p_partition
  )
  using v_from, v_until;
  update referral_private.archived_months as m
  set copied_until = v_until
  where m.month = p_month and v_until is not null;
  return v_until is not null;
end
$$;

-- Takes a month out of the inbox whose keys are all copied, unless an event of it waits by now. Its table stays, under
-- a name of its own. The inbox is locked first, so that deliveries wait and cannot deadlock.
create function referral_private.take_month_out(p_month date, p_partition name)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  lock table only referral_private.stripe_events in access exclusive mode;
  if referral_private.has_open_events(p_month) then
    return false;
  end if;
  execute format(
    'alter table referral_private.stripe_events detach partition referral_private.%I', p_partition
  );
  execute format(
    'alter table referral_private.%I rename to %I', p_partition,
    replace(p_partition, 'stripe_events', 'archived_events')
  );
  update referral_private.archived_months as m
  set archived_at = clock_timestamp()
  where m.month = p_month;
  return true;
end
$$;
