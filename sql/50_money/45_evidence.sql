-- Who is credited: all evidence of payers, from their users' redemptions and from what their objects carry.

-- The users that a payer is linked to, and when the oldest of them signed up; a user of unknown age is as old as can
-- be.
create type referral_private.payer_people as (payer_id text, user_ids uuid[], oldest timestamptz);

create function referral_private.people_of_payers(
  p_stripe_account text,
  p_livemode boolean,
  p_carriers referral_private.payer_carrier[]
)
returns setof referral_private.payer_people
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select c.payer_id, array_agg(distinct l.user_id order by l.user_id), min(coalesce(l.user_created_at, '-infinity'))
  from referral_private.payer_users as l
  join unnest(p_carriers) as c on c.carrier = l.carrier
  where l.stripe_account = p_stripe_account and l.livemode = p_livemode
    and l.carrier = any (array(select distinct given.carrier from unnest(p_carriers) as given))
  group by c.payer_id;
end
$$;

create type referral_private.evidence as (
  payer_id text,
  kind referral_private.evidence_kind,
  evidence_id uuid,
  at timestamptz,
  redeemed_at timestamptz,
  org_id uuid,
  program_id uuid,
  terms_version int,
  redemption_id uuid,
  code_id uuid,
  earner_id uuid,
  referee_id uuid,
  -- When the oldest user of the payer signed up, where a code alone is the evidence.
  oldest timestamptz,
  refusal text
);

-- What a payer's objects carry, the first time that they do.
create type referral_private.carried_evidence as (
  payer_id text,
  kind referral_private.evidence_kind,
  named text,
  carried_at timestamptz
);

create function referral_private.evidence_carried(
  p_stripe_account text,
  p_livemode boolean,
  p_carriers referral_private.payer_carrier[]
)
returns setof referral_private.carried_evidence
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select c.payer_id, e.kind, e.named, min(e.carried_at)
  from referral_private.payer_evidence as e
  join unnest(p_carriers) as c on c.carrier = e.carrier
  where e.stripe_account = p_stripe_account and e.livemode = p_livemode
    and e.carrier = any (array(select distinct given.carrier from unnest(p_carriers) as given))
  group by 1, 2, 3;
end
$$;

-- Evidence by redemptions: of the payer's users, and by their ids in metadata.
create function referral_private.evidence_by_redemption(
  p_stripe_account text,
  p_people referral_private.payer_people[],
  p_carried referral_private.carried_evidence[]
)
returns setof referral_private.evidence
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with
    claims as (
      select p.payer_id, 'redemption'::referral_private.evidence_kind as kind, r.id as redemption_id
      from unnest(p_people) as p
      cross join unnest(p.user_ids) as user_id
      join referral.redemptions as r on r.referee_id = user_id
      union all
      select c.payer_id, c.kind, c.named::uuid from unnest(p_carried) as c where c.kind = 'redemption_id'
    )
  select n.payer_id, n.kind, r.id, date_trunc('second', r.redeemed_at), r.redeemed_at, r.org_id, r.program_id,
    r.terms_version, r.id, r.code_id, coalesce(c.beneficiary_id, r.referrer_id), r.referee_id, null::timestamptz,
    case
      when r.decision = 'rejected' then 'rejected'
      when r.referee_id = c.beneficiary_id or p.user_ids && array[r.referrer_id, c.beneficiary_id] then 'self_referral'
    end
  from (select payer_id, min(kind) as kind, redemption_id from claims group by payer_id, redemption_id) as n
  join referral.redemptions as r on r.id = n.redemption_id
  join referral.codes as c on c.org_id = r.org_id and c.id = r.code_id
  left join unnest(p_people) as p on p.payer_id = n.payer_id
  where referral_private.stripe_account_of(r.org_id) = p_stripe_account;
end
$$;

-- Evidence by codes, under the terms that were in force when they were carried. Of several users of a payer the first
-- is the referee; the rules that refuse hold for all of them.
create function referral_private.evidence_by_code(
  p_stripe_account text,
  p_livemode boolean,
  p_people referral_private.payer_people[],
  p_carried referral_private.carried_evidence[]
)
returns setof referral_private.evidence
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with
    coded as materialized (
      select c.payer_id, c.kind, coalesce(p.code_key, c.named) as code_key, min(c.carried_at) as carried_at
      from unnest(p_carried) as c
      left join referral_private.promotion_codes as p
        on c.kind = 'promotion_code' and p.promotion_code_id = c.named
        and p.stripe_account = p_stripe_account and p.livemode = p_livemode
      where c.kind >= 'metadata_code' and (c.kind <> 'promotion_code' or p.code_key is not null)
      group by 1, 2, 3
    )
  select a.payer_id, a.kind, c.id, a.carried_at, a.carried_at, c.org_id, c.program_id, t.version,
    null::uuid, c.id, coalesce(c.beneficiary_id, c.referrer_id), p.user_ids[1], coalesce(p.oldest, '-infinity'),
    case
      when p.user_ids && array[c.referrer_id, c.beneficiary_id, c.created_by] then 'self_referral'
      when exists (
        select from referral.redemptions as r
        where r.org_id = c.org_id and r.program_id = c.program_id
          and r.referee_id = c.referrer_id and r.referrer_id = any (p.user_ids)
          and date_trunc('second', r.redeemed_at) <= a.carried_at
      ) then 'mutual_referral'
    end
  from coded as a
  left join unnest(p_people) as p on p.payer_id = a.payer_id
  join referral.codes as c on c.code_key = a.code_key and date_trunc('second', c.created_at) <= a.carried_at
  cross join lateral referral_private.terms_at(c.org_id, c.program_id, a.carried_at) as t (version)
  where t.version is not null and referral_private.stripe_account_of(c.org_id) = p_stripe_account;
end
$$;

-- All evidence of payers, given with their carriers: whom it credits, under which terms, and the reason if it earns
-- nothing.
create function referral_private.evidence_of(
  p_stripe_account text,
  p_livemode boolean,
  p_carriers referral_private.payer_carrier[]
)
returns setof referral_private.evidence
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_people referral_private.payer_people[] := array(
    select p from referral_private.people_of_payers(p_stripe_account, p_livemode, p_carriers) as p
  );
  v_carried referral_private.carried_evidence[] := array(
    select c from referral_private.evidence_carried(p_stripe_account, p_livemode, p_carriers) as c
  );
begin
  if cardinality(v_people) > 0 or exists (select from unnest(v_carried) as c where c.kind = 'redemption_id') then
    return query select e.* from referral_private.evidence_by_redemption(p_stripe_account, v_people, v_carried) as e;
  end if;
  if exists (select from unnest(v_carried) as c where c.kind >= 'metadata_code') then
    return query
    select e.* from referral_private.evidence_by_code(p_stripe_account, p_livemode, v_people, v_carried) as e;
  end if;
end
$$;

-- Whether a purchase with a future date, as those of test clocks have, names this text. A new code with this text
-- would be owed money that was never settled.
create function referral_private.is_named_ahead(p_key text)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral_private.payer_evidence as e
    left join referral_private.promotion_codes as p
      on e.kind = 'promotion_code' and p.promotion_code_id = e.named
      and p.stripe_account = e.stripe_account and p.livemode = e.livemode
    where e.carried_at >= date_trunc('second', clock_timestamp()) and e.kind >= 'metadata_code'
      and coalesce(p.code_key, e.named) = p_key
  );
end
$$;
