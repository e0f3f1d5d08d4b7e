-- Who is calling, and what they may do. Every policy and every check of a caller goes through this file.
create type referral.member_role as enum ('member', 'coordinator', 'admin');

-- Is the caller the operator: the service role, or the schema's owner, connected directly or by `set role` (seeds,
-- jobs)? The absence of a signed-in user proves nothing: the anonymous role has none either.
create function referral_private.is_operator()
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role text := current_setting('role');
begin
  if v_role = 'none' then
    v_role := session_user;
  end if;
  return v_role = 'service_role'
    or v_role = (select pg_get_userbyid(n.nspowner) from pg_namespace as n where n.nspname = 'referral');
end
$$;

-- Is the caller signed in anonymously? An anonymous session has no rights, because it cannot be recognised again.
create function referral_private.is_anonymous()
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((auth.jwt() ->> 'is_anonymous')::boolean, false);
end
$$;

-- The signed-in person. Raises `not_signed_in`, or `anonymous_user` for an anonymous sign-in.
create function referral_private.require_person()
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := auth.uid();
begin
  if v_user_id is null then
    perform referral_private.raise_error('not_signed_in');
  end if;
  if referral_private.is_anonymous() then
    perform referral_private.raise_error('anonymous_user');
  end if;
  return v_user_id;
end
$$;

-- The organisations in which the caller has at least this role. Every policy and every check goes through it:
-- an app with a membership table of its own replaces this one function. An anonymous sign-in has no role anywhere.
create function referral_private.orgs_with_role(p_role referral.member_role)
returns setof uuid
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if referral_private.is_anonymous() then
    return;
  end if;
  return query
  select m.org_id
  from referral.members as m
  where m.user_id = auth.uid() and m.role >= p_role and m.deactivated_at is null;
end
$$;

-- The same for policies: the planner evaluates it, so it knows how few rows a caller may read, and finds them by an
-- index. It stands alone in a policy: beside an alternative it would be called for each row. The cost is about what it
-- is.
create function referral_private.org_ids_with_role(p_role referral.member_role)
returns uuid[]
language plpgsql
stable
cost 2000
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(select referral_private.orgs_with_role(p_role));
end
$$;

grant execute on function referral_private.org_ids_with_role to authenticated;

-- Does the caller act with this role in the organisation? The operator does, in every one.
create function referral_private.acts_with_role(p_org_id uuid, p_role referral.member_role)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.is_operator() or p_org_id in (select referral_private.orgs_with_role(p_role));
end
$$;

-- Lets a caller pass who acts with this role. Raises `not_signed_in`, `anonymous_user`, `not_a_member`,
-- `not_allowed`, and for the operator `organisation_not_found`.
create function referral_private.require_role(p_org_id uuid, p_role referral.member_role)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id: required');
  end if;
  if referral_private.is_operator() then
    if not exists (select from referral.organisations as o where o.id = p_org_id) then
      perform referral_private.raise_error('organisation_not_found');
    end if;
    return;
  end if;
  perform referral_private.require_person();
  if not referral_private.acts_with_role(p_org_id, 'member') then
    perform referral_private.raise_error('not_a_member');
  end if;
  if not referral_private.acts_with_role(p_org_id, p_role) then
    perform referral_private.raise_error('not_allowed');
  end if;
end
$$;

-- The person that the caller acts for: themself, or, for staff and the operator, anyone in the organisation.
-- `p_argument` is the name of the argument that gives the person. Raises `not_signed_in`, `anonymous_user`,
-- `not_a_member`, `not_allowed`, `organisation_not_found`.
create function referral_private.acting_for(p_org_id uuid, p_user_id uuid, p_argument text default 'referrer_id')
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_org_id is null then
    perform referral_private.raise_error('invalid_argument', 'org_id: required');
  end if;
  if p_user_id is null and referral_private.is_operator() then
    perform referral_private.raise_error('invalid_argument', concat(
      p_argument, ': required with the secret key, which is no person; an app uses the publishable key and signs in'
    ));
  end if;
  if p_user_id is null or p_user_id is not distinct from auth.uid() then
    return referral_private.require_person();
  end if;
  perform referral_private.require_role(p_org_id, 'coordinator');
  return p_user_id;
end
$$;
