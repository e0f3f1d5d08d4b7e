-- Who reads programs and their terms. Staff may have offered some people more than others, so who enrolled by themself
-- reads what is offered to everybody, and what they take part in.

-- The programs that the caller may read: all of an organisation for its staff and for members whom staff have added;
-- for a member who enrolled by themself those with open enrolment, switched on or off, and those in which they have or
-- had a code, or have redeemed one.
create function referral_private.readable_programs()
returns setof uuid
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id constant uuid := auth.uid();
  v_org_ids constant uuid[] := array(select referral_private.orgs_with_role('member'));
  v_open_org_ids constant uuid[] := array(
    select m.org_id from referral.members as m
    where m.user_id = v_user_id and m.admitted_by = m.user_id
    except
    select referral_private.orgs_with_role('coordinator')
  );
begin
  return query
  select p.id
  from referral.programs as p
  where p.org_id = any (v_org_ids) and (
    p.org_id <> all (v_open_org_ids)
    or referral_private.has_open_enrolment(p.org_id, p.id)
    or exists (
      select from referral.codes as c
      where c.org_id = p.org_id and c.program_id = p.id and c.referrer_id = v_user_id
    )
    or exists (
      select from referral.redemptions as r
      where r.org_id = p.org_id and r.program_id = p.id and r.referee_id = v_user_id
    )
  );
end
$$;

grant execute on function referral_private.readable_programs to authenticated;

create policy programs_members_read on referral.programs
for select
to authenticated
using (id = any (array(select referral_private.readable_programs())));

create policy program_terms_members_read on referral.program_terms
for select
to authenticated
using (program_id = any (array(select referral_private.readable_programs())));
