-- Users who become known after objects named them: they sign up, redeem, or become members.

-- Makes a user known who becomes a member or redeems, on every Stripe account where an object named them, and settles
-- the payers that are linked to them. It takes Stripe account locks, so it comes before all other locks.
create function referral_private.recognise_user(p_user_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe_account text;
begin
  perform referral_private.require_read_committed();
  for v_stripe_account in
    select distinct l.stripe_account
    from referral_private.payer_users as l
    where l.user_id = p_user_id and not exists (
      select from referral_private.known_users as k
      where k.user_id = l.user_id and k.stripe_account = l.stripe_account
    )
    order by 1
  loop
    perform referral_private.lock_stripe_account(v_stripe_account);
    insert into referral_private.known_users (stripe_account, user_id, signed_up_at)
    select v_stripe_account, p_user_id, (select u.created_at from auth.users as u where u.id = p_user_id)
    on conflict do nothing;
    perform referral_private.settle_users(v_stripe_account, array[p_user_id], 'member ' || p_user_id);
  end loop;
end
$$;

-- Users of a Stripe account.
create type referral_private.account_users as (stripe_account text, user_ids uuid[]);

-- The users whom an event named that came since this time, and who have become known only after it.
create function referral_private.users_to_recognise(p_since timestamptz)
returns setof referral_private.account_users
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
-- Each of those who are named is looked up, and by subqueries of which no table is made: of users and redemptions there
-- can be many more.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  return query
  select l.stripe_account, array_agg(l.user_id)
  from (
    select distinct u.stripe_account, u.user_id
    from referral_private.payer_users as u
    where u.stored_at >= p_since
      and not exists (
        select from referral_private.known_users as k
        where k.user_id = u.user_id and k.stripe_account = u.stripe_account
      )
      and coalesce(
        (select true from auth.users as a where a.id = u.user_id),
        (select true from referral.redemptions as r where r.referee_id = u.user_id limit 1),
        (select true from referral.members as m where m.user_id = u.user_id limit 1)
      )
  ) as l
  group by l.stripe_account
  order by l.stripe_account;
end
$$;

create function referral_private.recognise_users(p_max_rows int default 500)
returns int
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_unknown referral_private.account_users;
  v_user_id uuid;
  v_recognised int := 0;
begin
  perform referral_private.require_read_committed();
  for v_unknown in
    select u.* from referral_private.users_to_recognise(clock_timestamp() - interval '720 hours') as u
  loop
    exit when v_recognised >= p_max_rows;
    -- A Stripe account that is busy is left for the next call.
    continue when not pg_try_advisory_xact_lock(referral_private.stripe_account_lock_key(v_unknown.stripe_account));
    foreach v_user_id in array referral_private.know_users(
      v_unknown.stripe_account, v_unknown.user_ids[1:p_max_rows - v_recognised]
    ) loop
      perform referral_private.settle_users(v_unknown.stripe_account, array[v_user_id], 'user ' || v_user_id);
      v_recognised := v_recognised + 1;
    end loop;
  end loop;
  return v_recognised;
end
$$;

comment on function referral_private.recognise_users is
  'public: Links payers to users who signed up after an event named them that came in the last 30 days, and returns how
many users that were. Call again while that is max_rows.

group: Run jobs
max_rows: how many users at most in this call
callers: the operator
errors: busy
timeout: 60s';

grant execute on function referral_private.recognise_users to service_role;
