-- The inbox: every event of Stripe's that was delivered. Nothing here expires or changes: a delivery is recognised as a
-- duplicate however late it comes. The time at which Stripe made the event is the first column of the key, so that
-- deliveries of one time are stored beside each other; the same event always has the same time. By month of that time,
-- in UTC: maintain_events makes the partitions; until one is made, the default partition takes the month's events.
create type referral.event_status as enum ('applied', 'stored', 'duplicate', 'ignored', 'parked');

create table referral_private.stripe_events (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  event_id text collate "C" not null,
  type text not null,
  status referral.event_status not null,
  created_at timestamptz not null,
  received_at timestamptz not null default clock_timestamp(),
  body_sha256 text not null,
  event jsonb not null,
  constraint stripe_events_pkey primary key (created_at, event_id, stripe_account, livemode),
  -- A length in a regular expression makes it a hundred times slower.
  constraint stripe_events_stripe_account_is_an_id
    check (stripe_account ~ '^(acct_[A-Za-z0-9]+)?$' and length(stripe_account) <= 69),
  constraint stripe_events_have_an_id check (event_id ~ '^evt_[A-Za-z0-9_]+$' and length(event_id) <= 259),
  constraint stripe_events_body_is_hashed check (body_sha256 ~ '^[0-9a-f]+$' and length(body_sha256) = 64)
)
partition by range (created_at);

alter table referral_private.stripe_events enable row level security;

create table referral_private.stripe_events_default partition of referral_private.stripe_events default;

alter table referral_private.stripe_events_default enable row level security;

create trigger stripe_events_are_append_only
before update or delete or truncate on referral_private.stripe_events
for each statement
execute function referral_private.refuse_change();

alter table referral_private.stripe_events enable always trigger stripe_events_are_append_only;

create trigger stripe_events_are_append_only
before update or delete or truncate on referral_private.stripe_events_default
for each statement
execute function referral_private.refuse_change();

alter table referral_private.stripe_events_default enable always trigger stripe_events_are_append_only;

-- Events of the inbox that are not applied yet. Whoever has the Stripe account lock applies them, and deletes their
-- rows.
create table referral_private.unapplied_events (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  event_id text collate "C" not null,
  event_created_at timestamptz not null,
  stored_at timestamptz not null default clock_timestamp(),
  -- When it was stored, or failed last: what failed comes after the others.
  tried_at timestamptz not null default clock_timestamp(),
  -- In how many calls it was when time ran out. Those of more calls come later, and fewer together.
  tries int not null default 0,
  -- With which error of ours it could not be applied; then only `run_maintenance` tries again.
  error text,
  constraint unapplied_events_pkey primary key (event_id, event_created_at, stripe_account, livemode),
  constraint unapplied_events_are_in_the_inbox
    foreign key (event_created_at, event_id, stripe_account, livemode) references referral_private.stripe_events (
      created_at,
      event_id,
      stripe_account,
      livemode
    )
      on delete restrict
);

create index unapplied_events_by_age on referral_private.unapplied_events (stripe_account, tries, tried_at);

alter table referral_private.unapplied_events enable row level security;

-- Events that carry money or identity in a form that is not known yet, until a later version of referbase can read
-- them: the names that the webhook reads, with values of a known form, and nothing personal.
create table referral_private.parked_events (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  event_id text collate "C" not null,
  event_created_at timestamptz not null,
  reason text not null,
  event jsonb not null,
  constraint parked_events_pkey primary key (event_id, event_created_at, stripe_account, livemode),
  constraint parked_events_are_in_the_inbox
    foreign key (event_created_at, event_id, stripe_account, livemode) references referral_private.stripe_events (
      created_at,
      event_id,
      stripe_account,
      livemode
    )
      on delete restrict
);

alter table referral_private.parked_events enable row level security;

-- The form in which a parked event was applied. It is kept, because the inbox has the event as parked for ever. Without
-- a foreign key, which would keep the event's month in the inbox.
create table referral_private.resolved_events (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  event_id text collate "C" not null,
  event_created_at timestamptz not null,
  event jsonb not null,
  resolved_at timestamptz not null default clock_timestamp(),
  constraint resolved_events_pkey primary key (event_id, event_created_at, stripe_account, livemode)
);

alter table referral_private.resolved_events enable row level security;

create trigger resolved_events_are_append_only
before update or delete or truncate on referral_private.resolved_events
for each statement
execute function referral_private.refuse_change();

alter table referral_private.resolved_events enable always trigger resolved_events_are_append_only;

-- `unsettled`: something of the Stripe account waits to be settled.
create type referral.event_result as (event_id text, status referral.event_status, unsettled boolean);

-- What an event states, as the webhook reduces it. Raises `invalid_event`.
create function referral_private.stated_event_of(p_event jsonb)
returns referral_private.stated_event
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(jsonb_typeof(p_event), '') <> 'object'
    or jsonb_typeof(p_event -> 'data' -> 'object') is distinct from 'object'
  then
    perform referral_private.raise_error('invalid_event');
  end if;
  return (
    coalesce(p_event ->> 'account', ''), (p_event -> 'livemode')::boolean, p_event ->> 'id',
    to_timestamp((p_event -> 'created')::bigint), p_event -> 'data' -> 'object',
    p_event -> 'data' -> 'previous_attributes'
  )::referral_private.stated_event;
end
$$;

-- Takes a parked event in the form in which it can be read now. False if it is not parked.
create function referral_private.unpark(p_stated referral_private.stated_event, p_event jsonb)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from referral_private.parked_events as p
  where p.stripe_account = p_stated.stripe_account and p.livemode = p_stated.livemode
    and p.event_id = p_stated.event_id and p.event_created_at = p_stated.event_at;
  if not found then
    return false;
  end if;
  insert into referral_private.resolved_events (stripe_account, livemode, event_id, event_created_at, event)
  values (
    p_stated.stripe_account, p_stated.livemode, p_stated.event_id, p_stated.event_at, p_event - 'body_sha256'
  );
  return true;
end
$$;
