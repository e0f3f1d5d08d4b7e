-- All checks of health together: of one organisation, or of the installation.

-- Events of Stripe's: those that are parked, and when the last one was made; none at all is no fault,
-- and found is 0. Test mode has no money to lose.
create function referral_private.checks_of_events()
returns setof referral.health_check
language plpgsql
stable
rows 2
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_live bigint;
  v_reasons text;
  v_in_test bigint;
  v_last constant timestamptz := (
    select e.created_at from referral_private.stripe_events as e order by e.created_at desc limit 1
  );
begin
  select sum(r.events), string_agg(r.reason || ' ' || r.events, ', ' order by r.events desc, r.reason)
  into v_live, v_reasons
  from (
    select p.reason, count(*) as events
    from (select e.reason from referral_private.parked_events as e where e.livemode limit 1000) as p
    group by p.reason
  ) as r;
  select count(*) into v_in_test
  from (select from referral_private.parked_events as e where not e.livemode limit 1000) as p;
  return next referral_private.checked(
    'parked_events', 'Live events that are parked and earn nothing: ' || referral_private.counted(v_live) || ' ('
      || v_reasons || ').',
    'No live event is parked; events of test mode that are: ' || referral_private.counted(v_in_test) || '.',
    'Run "npx --no-install referbase parked".', v_live
  );
  return next referral_private.checked(
    'stripe_events', null,
    coalesce(
      'The last event of Stripe''s is of ' || referral_private.iso_time(v_last) || '.',
      'No event of Stripe''s has come yet.'
    ),
    null, case when v_last is null then 0 end
  );
end
$$;

-- The checks of each organisation that is switched on, together: how many fail, and which. Of many the newest are
-- looked at.
create function referral_private.checks_of_organisations()
returns setof referral.health_check
language plpgsql
stable
rows 4
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with
    newest as materialized (
      select o from referral.organisations as o where o.active order by o.created_at desc, o.id limit 1000
    ),
    checks as (
      select (n.o).slug, c.place, c.name, c.ok, c.message, c.remedy
      from newest as n
      cross join lateral unnest(array[
        referral_private.check_destinations(n.o), referral_private.check_program(n.o),
        referral_private.check_admin(n.o), referral_private.check_codes(n.o)
      ]) with ordinality as c (name, ok, found, message, remedy, place)
    ),
    summed as (
      select f.place, f.name, count(*) filter (where not f.ok) as found,
        (array_agg(f.slug order by f.slug) filter (where not f.ok))[1:3] as slugs,
        min(f.message) filter (where not f.ok) as message, min(f.remedy) as remedy
      from checks as f
      group by f.place, f.name
    )
  select c.*
  from summed as s
  cross join lateral referral_private.checked(
    s.name, case s.found
      when 0 then null
      when 1 then s.slugs[1] || ': ' || s.message
      else 'Organisations that fail: ' || referral_private.counted(s.found) || ', such as '
        || array_to_string(s.slugs, ', ') || '.'
    end,
    'Every organisation passes that is switched on.',
    case s.found when 1 then s.remedy else 'Run "npx --no-install referbase doctor --org ID" for '
      || 'each, with the id of the organisation.' end, nullif(s.found, 0)
  ) as c
  order by s.place;
end
$$;

create function referral_private.health(p_org_id uuid default null)
returns setof referral.health_check
language plpgsql
stable
rows 10
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_organisation referral.organisations;
  v_organisations bigint;
begin
  if p_org_id is not null or not referral_private.is_operator() then
    perform referral_private.require_role(p_org_id, 'admin');
    select * into strict v_organisation from referral.organisations as o where o.id = p_org_id;
    return next referral_private.check_destinations(v_organisation);
    return next referral_private.check_program(v_organisation);
    return next referral_private.check_admin(v_organisation);
    return next referral_private.check_codes(v_organisation);
    return query select f.* from referral_private.facts_of_organisation(v_organisation) as f;
  else
    return next referral_private.checked(
      'clock', null, 'The clock of the database says ' || referral_private.iso_time(clock_timestamp()) || '.', null,
      null
    );
    select count(*) into v_organisations from (select from referral.organisations limit 1000) as o;
    return next referral_private.checked(
      'organisations', case when v_organisations = 0 then 'There is no organisation.' end,
      'Organisations: ' || referral_private.counted(v_organisations) || '.',
      'Run "npx --no-install referbase setup".', v_organisations
    );
    return query select c.* from referral_private.checks_of_organisations() as c;
    return next referral_private.check_jobs();
    return next referral_private.check_settlement();
    return next referral_private.check_partitions('clicks_partition', 'referral_private.clicks', 'clicks');
    return next referral_private.check_partitions('events_partition', 'referral_private.stripe_events', 'events');
    return query select c.* from referral_private.checks_of_overdue() as c;
    return query select c.* from referral_private.checks_of_events() as c;
    return next referral_private.check_ledger_triggers();
  end if;
  return next referral_private.check_pending_past_window(p_org_id);
  return next referral_private.check_unattributed(v_organisation);
end
$$;

comment on function referral_private.health is
  'public: Says whether an organisation is set up and earns, or, without org_id, whether the installation runs and all
organisations are set up. Each row is a check: ok; found, how many things are concerned, counted up to 1,000; a message;
and, if it is not ok, the remedy. It reads at most 10,000 codes, 10,000 sales with their postings and 100,000 pending
redemptions, and, of all organisations, the checks of the newest 1,000. What each check means: docs/reliability.md.

group: Set up organisations and programs
org_id: the organisation; for the operator all unless given
callers: admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 20s';

grant execute on function referral_private.health to authenticated, service_role;
