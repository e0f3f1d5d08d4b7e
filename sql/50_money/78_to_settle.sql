-- Work that is too large for one transaction: payers that wait to be settled. Whoever settles them reads the facts as
-- they are then, so it does not matter when.
create table referral_private.to_settle (
  stripe_account text collate "C" not null,
  livemode boolean not null,
  -- A payer; or a sale that may be gone, which was its payer's.
  payer_id text collate "C" not null,
  caused_by text collate "C" not null,
  queued_at timestamptz not null default clock_timestamp(),
  -- When it was queued, or failed last: who failed comes after the others.
  tried_at timestamptz not null default clock_timestamp(),
  -- In how many calls it was when time ran out. Those of more calls come later, and fewer together.
  tries int not null default 0,
  -- With which error it could not be settled; then only `run_maintenance` tries again.
  error text,
  constraint to_settle_pkey primary key (payer_id, stripe_account, livemode)
);

create index to_settle_by_age on referral_private.to_settle (stripe_account, tries, tried_at, payer_id);

-- Whether anything of a mode waits, however much of the other does.
create index to_settle_by_mode on referral_private.to_settle (stripe_account, livemode);

alter table referral_private.to_settle enable row level security;

-- How many payers, and how many differences of sales, are settled in one transaction at most. The Stripe account lock
-- is held meanwhile, for a quarter of a second or so.
create function referral_private.settled_at_once()
returns int
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return 250;
end
$$;

-- Makes payers wait to be settled. The Stripe account lock is held.
create function referral_private.settle_later(
  p_stripe_account text,
  p_livemode boolean,
  p_payer_ids text[],
  p_cause text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
begin
  insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by, queued_at, tried_at)
  select p_stripe_account, p_livemode, payer_id, p_cause, v_now, v_now
  from (select distinct unnest(p_payer_ids) as payer_id) as waiting
  on conflict on constraint to_settle_pkey do update
  set error = null
  where to_settle.error is not null;
end
$$;

-- Whether an error lies in the data of an event, and does not go away by trying again.
create function referral_private.is_data_error(p_sqlstate text)
returns boolean
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  -- data_exception; cannot_coerce, not_null_violation, check_violation
  return left(p_sqlstate, 2) = '22' or p_sqlstate in ('42846', '23502', '23514');
end
$$;

-- Whether an error lies in the moment: a lock, a deadlock, a time-out, a lack of resources, a shutdown.
create function referral_private.is_passing_error(p_sqlstate text)
returns boolean
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return left(p_sqlstate, 2) in ('40', '53', '55', '57', '58');
end
$$;
