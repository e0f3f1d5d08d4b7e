-- Who may have a new code, in which program, and with which text. A command that changes a referrer's codes
-- locks the member row first, so that concurrent changes queue up instead of failing on the unique index.

-- Prepares a referrer for a new code: locks the member and stores the end of codes past their time. Raises
-- `member_deactivated`, `member_blocked`, `code_suspended`.
create function referral_private.ready_for_code(p_org_id uuid, p_referrer_id uuid)
returns referral.members
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_member referral.members := referral_private.lock_member(p_org_id, p_referrer_id);
begin
  if v_member.deactivated_at is not null then
    perform referral_private.raise_error('member_deactivated');
  end if;
  if v_member.blocked_at is not null then
    perform referral_private.raise_error('member_blocked');
  end if;
  perform referral_private.expire_codes_of(p_org_id, p_referrer_id);
  if exists (
    select from referral_private.codes_in_use(p_org_id, p_referrer_id) as c where c.status = 'suspended'
  ) then
    perform referral_private.raise_error('code_suspended');
  end if;
  return v_member;
end
$$;

-- Lets somebody enrol by themself in the given program, or else in the organisation's default. Raises `not_invited`,
-- which does not tell whether there is such an organisation or program, is switched off, or takes invited members only.
create function referral_private.require_open_program(p_org_id uuid, p_program_id uuid)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_program referral.programs := referral_private.named_program(p_org_id, p_program_id);
begin
  perform referral_private.require_open_enrolment(
    p_org_id, case when referral_private.is_switched_on(v_program) then v_program.id end
  );
end
$$;

-- The program of a referrer's code: the given one, or else the organisation's default. A member who enrolled by
-- themself is refused where enrolment is not open, and does not learn whether there is such a program. Raises
-- `program_not_found`, `program_inactive`, `not_invited`.
create function referral_private.program_for_member(p_member referral.members, p_program_id uuid)
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_member.admitted_by = p_member.user_id then
    perform referral_private.require_open_enrolment(
      p_member.org_id, (referral_private.named_program(p_member.org_id, p_program_id)).id
    );
  end if;
  return (referral_private.program_for_code(p_member.org_id, p_program_id)).id;
end
$$;

-- Refuses one more code than the organisation allows a member, counting what can still be redeemed or is suspended:
-- their own, those in their grace included, and the campaign codes they made. The member row is locked. Raises
-- `too_many_codes`.
create function referral_private.require_code_allowance(p_org_id uuid, p_user_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if (
    select count(*)
    from (
      select c.expires_at from referral.codes as c
      where c.org_id = p_org_id and c.referrer_id = p_user_id and c.status in ('active', 'suspended')
      union all
      select c.expires_at from referral.codes as c
      where c.org_id = p_org_id and c.referrer_id = p_user_id and c.redeemable_until > clock_timestamp()
      union all
      select c.expires_at from referral.codes as c
      where c.org_id = p_org_id and c.created_by = p_user_id and c.referrer_id is null and c.batch_id is null
        and c.status in ('active', 'suspended')
    ) as c
    where c.expires_at is null or c.expires_at > clock_timestamp()
  ) >= (select o.codes_per_member from referral.organisations as o where o.id = p_org_id) then
    perform referral_private.raise_error('too_many_codes');
  end if;
end
$$;

-- Refuses a member who acts for themself a new code, if within 24 hours more of their codes were rotated or invalidated
-- than the organisation allows: to end a code and create another is a rotation, too. Staff who act for a member are not
-- bound. The member row is locked. Raises `rate_limited`.
create function referral_private.require_rotation_allowance(p_org_id uuid, p_referrer_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit int;
begin
  if coalesce(p_referrer_id <> auth.uid(), true) then
    return;
  end if;
  select o.rotations_per_day into strict v_limit from referral.organisations as o where o.id = p_org_id;
  if (
    select count(*) from referral.codes as c
    where c.org_id = p_org_id and c.referrer_id = p_referrer_id and c.status in ('rotated', 'invalidated')
      and c.ended_at > clock_timestamp() - interval '24 hours'
  ) > v_limit then
    perform referral_private.raise_error('rate_limited', format('rotations_per_day: %s within 24 hours', v_limit));
  end if;
end
$$;

-- How long a drawn code is: the organisation's length, and 12 characters at least where enrolment is by invitation or
-- the code is limited, so that such a code is not found by trying.
create function referral_private.drawn_length(p_org_id uuid, p_program_id uuid, p_limited boolean)
returns int
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_length int := (select o.code_length from referral.organisations as o where o.id = p_org_id);
begin
  if p_limited or not referral_private.has_open_enrolment(p_org_id, p_program_id) then
    return greatest(12, v_length);
  end if;
  return v_length;
end
$$;

-- Draws this many texts, and returns those that can be codes: no reserved word, and carried by no purchase.
create function referral_private.draw_texts(p_count int, p_length int)
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_texts text[] := array(select referral_private.draw_code(p_length) from generate_series(1, p_count));
  v_carried text[] := referral_private.carried_keys(
    array(select referral_private.normalise_code(t) from unnest(v_texts) as t)
  );
begin
  return array(
    select d.text
    from (select t as text, referral_private.normalise_code(t) as key from unnest(v_texts) as t offset 0) as d
    where d.key <> all (v_carried) and not referral_private.is_reserved(d.key)
  );
end
$$;

-- Lets staff choose the texts of codes. The shared Stripe account lock, held until the transaction ends, makes this
-- call wait for an event that is applied, and a later event wait for the codes. Raises `busy` if the organisation
-- changed its Stripe account meanwhile, or an event that is stored and not applied yet may carry one of the texts, and
-- what `require_role` raises, also of a caller who lost the role meanwhile.
create function referral_private.ready_to_choose(p_org_id uuid, p_keys text[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.require_role(p_org_id, 'coordinator');
  perform referral_private.share_stripe_account_of(p_org_id);
  perform referral_private.require_role(p_org_id, 'coordinator');
  if referral_private.may_be_carried(referral_private.stripe_account_of(p_org_id), array_remove(p_keys, null)) then
    perform referral_private.raise_error('busy');
  end if;
end
$$;
