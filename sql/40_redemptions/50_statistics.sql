-- How much codes were used. A referrer gets no identities.
create type referral.code_usage as (total_uses bigint, unique_users bigint, last_used timestamptz, recent_users uuid[]);

create function referral_private.code_usage_stats(p_code_id uuid)
returns setof referral.code_usage
language plpgsql
stable
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code referral.codes := referral_private.require_readable_code(p_code_id);
  v_code_ids uuid[] := referral_private.codes_shown_with(v_code);
begin
  return query
  select count(*), count(distinct r.referee_id), max(r.redeemed_at), case
    when referral_private.acts_with_role(v_code.org_id, 'coordinator') then array(
      select recent.referee_id
      from referral.redemptions as recent
      where recent.org_id = v_code.org_id and recent.code_id = any (v_code_ids)
      order by recent.redeemed_at desc, recent.id desc
      limit 10
    )
  end
  from referral.redemptions as r
  where r.org_id = v_code.org_id and r.code_id = any (v_code_ids);
end
$$;

comment on function referral_private.code_usage_stats is
  'public: Returns how often a code was used, by how many people, when last, and by whom lately: ten ids, for staff
only. To its referrer the figures are those of its chain: the code and all that it was rotated from and into.

group: Have a code
code_id: the code
callers: the referrer, coordinators, admins and the operator
errors: not_signed_in, anonymous_user, code_not_found
returns: a row
timeout: 5s';

grant execute on function referral_private.code_usage_stats to authenticated, service_role;

create type referral.code_use_count as (code_id uuid, uses_count bigint, max_uses int);

create function referral_private.code_uses(p_code_ids uuid[])
returns setof referral.code_use_count
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_operator boolean := referral_private.is_operator();
begin
  if coalesce(cardinality(p_code_ids), 0) > 1000 then
    perform referral_private.raise_error('invalid_argument', 'code_ids: up to 1,000 ids');
  end if;
  if not v_is_operator then
    perform referral_private.require_person();
  end if;
  return query
  with
    asked as materialized (
      select c.id, c.org_id, c.quota_id, coalesce(c.chain_id, c.id) as chain_id,
        v_is_operator or c.org_id in (select referral_private.orgs_with_role('coordinator')) as by_staff
      from referral.codes as c
      where c.id = any (p_code_ids)
        and (
          v_is_operator
          or c.referrer_id = auth.uid()
          or c.org_id in (select referral_private.orgs_with_role('coordinator'))
        )
    ),
    -- Each chain once: a referrer may ask for all codes of a long one.
    chains as materialized (
      select a.chain_id, (
        select count(*)
        from referral.codes as c
        join referral.redemptions as r on r.org_id = c.org_id and r.code_id = c.id
        where c.org_id = a.org_id and a.chain_id in (c.id, c.chain_id)
      ) as uses
      from asked as a
      where not a.by_staff
      group by a.org_id, a.chain_id
    )
  select a.id, coalesce(
      chains.uses, (select count(*) from referral.redemptions as r where r.org_id = a.org_id and r.code_id = a.id)
    ), q.max_uses
  from asked as a
  left join chains on not a.by_staff and chains.chain_id = a.chain_id
  left join referral.code_quotas as q on q.org_id = a.org_id and q.quota_id = a.quota_id;
end
$$;

comment on function referral_private.code_uses is
  'public: Returns how often each code was used, and how often it may be used (null: without limit). Rows for the codes
that the caller may see; to its referrer a code''s uses are those of its chain, as in code_usage_stats.

group: Have a code
code_ids: up to 1,000 codes
callers: the referrer, coordinators, admins and the operator
errors: not_signed_in, anonymous_user, invalid_argument
timeout: 10s';

grant execute on function referral_private.code_uses to authenticated, service_role;
