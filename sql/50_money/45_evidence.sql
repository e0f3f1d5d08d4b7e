-- Evidence: what can credit a referrer for the sales of a group of payers. It comes from the redemptions of the person,
-- and from what the payers' objects carry. Each carrying is judged by itself, at its own time.
create type referral_private.evidence as (
  -- The group whose sales it can win, and the payer that carried it (null: the person's redemption), linked since.
  group_id text collate "C",
  payer_id text collate "C",
  linked_at timestamptz,
  kind referral_private.evidence_kind,
  evidence_id uuid,
  object_id text collate "C",
  carried_at timestamptz,
  -- Its own time, in whole seconds.
  at timestamptz,
  org_id uuid,
  program_id uuid,
  terms_version int,
  terms jsonb,
  redemption_id uuid,
  code_id uuid,
  chain_id uuid,
  referrer_id uuid,
  earner_id uuid,
  referee_id uuid,
  is_confirmed boolean,
  -- Why it can never win a sale; null where it can.
  refusal text
);

-- Evidence by redemptions: of the person, and by their ids in metadata.
create function referral_private.evidence_by_redemption(
  p_stripe_account text,
  p_payers referral_private.payer[],
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
      select distinct p.group_id, null::text as payer_id, null::timestamptz as linked_at, p.person,
        'redemption'::referral_private.evidence_kind as kind, r.id as redemption_id, null::text as object_id,
        null::timestamptz as carried_at
      from unnest(p_payers) as p
      join referral.redemptions as r on r.referee_id = p.person
      union all
      select (c.payer).group_id, (c.payer).payer_id, (c.payer).linked_at, (c.payer).person, (c.carried).kind,
        (c.carried).named::uuid, (c.carried).object_id, (c.carried).carried_at
      from unnest(p_carried) as c
      where (c.carried).kind = 'redemption_id'
    )
  select n.group_id, n.payer_id, n.linked_at, n.kind, r.id, n.object_id, n.carried_at,
    date_trunc('second', r.redeemed_at), r.org_id, r.program_id, r.terms_version, t.terms, r.id, r.code_id,
    coalesce(c.chain_id, c.id), c.referrer_id, coalesce(c.beneficiary_id, c.referrer_id), r.referee_id,
    coalesce(r.decision = 'confirmed', false),
    case
      when array[n.person, r.referee_id] && array[c.referrer_id, c.beneficiary_id, c.created_by]
        then 'self_referral'
    end
  from claims as n
  -- Looked up one by one: without statistics, Postgres takes many redemptions to have the same id, and would read all.
  cross join lateral (select d.* from referral.redemptions as d where d.id = n.redemption_id offset 0) as r
  cross join lateral (
    select k.* from referral.codes as k where k.org_id = r.org_id and k.id = r.code_id offset 0
  ) as c
  cross join lateral (
    select v.terms from referral.program_terms as v
    where v.org_id = r.org_id and v.program_id = r.program_id and v.version = r.terms_version
    offset 0
  ) as t
  where referral_private.stripe_account_of(r.org_id) = p_stripe_account;
end
$$;

-- Whether the referrer of a code was referred, by this time, by this person in the same program.
create function referral_private.is_mutual(p_code referral.codes, p_person uuid, p_at timestamptz)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral.redemptions as r
    where r.org_id = p_code.org_id and r.program_id = p_code.program_id
      and r.referee_id = p_code.referrer_id and r.referrer_id = p_person
      and date_trunc('second', r.redeemed_at) <= p_at
  );
end
$$;

-- Why a code that a payer carried can never win; null where it can. The program, the terms and the code must have been
-- good at that time, and nobody earns by their own purchase, nor two people by each other's.
create function referral_private.evidence_refusal(
  p_code referral.codes,
  p_payer referral_private.payer,
  p_at timestamptz,
  p_terms jsonb,
  p_is_usable boolean
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_terms is null then 'program_inactive'
    when not p_is_usable then 'code_unusable'
    when p_payer.person in (p_code.referrer_id, p_code.beneficiary_id, p_code.created_by) then 'self_referral'
    when p_payer.person is not null and referral_private.is_mutual(p_code, p_payer.person, p_at)
      then 'mutual_referral'
    when coalesce(p_payer.signed_up_at, '-infinity')
      < p_at - (p_terms ->> 'new_users_only_days')::int * interval '24 hours' then 'new_users_only'
  end;
end
$$;

-- Evidence by codes, under the terms that were in force when they were carried. A code that was made later was not
-- usable. What holds of a code at a time is asked once.
create function referral_private.evidence_by_code(p_stripe_account text, p_carried referral_private.carried_evidence[])
returns setof referral_private.evidence
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
-- The planner does not know how long the arrays are.
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  with
    keyed as materialized (
      select c.payer, c.carried, (c.carried).carried_at as at, referral_private.key_carried(c.carried) as key
      from unnest(p_carried) as c
    ),
    known as materialized (
      select d as code, d.id as code_id, d.code_key, d.org_id, d.program_id
      from referral_private.codes_by_keys(p_stripe_account, array(select k.key from keyed as k)) as d
    ),
    timed as materialized (
      select c.*, referral_private.terms_at(c.org_id, c.program_id, c.at) as version,
        referral_private.is_code_usable(c.org_id, c.code_id, c.at) as is_usable
      from (
        select distinct d.code_id, k.at, d.org_id, d.program_id
        from keyed as k
        join known as d on d.code_key = k.key
      ) as c
    ),
    agreed as (
      select a.code_id, a.at, a.version, a.is_usable, (
          select t.terms from referral.program_terms as t
          where t.org_id = a.org_id and t.program_id = a.program_id and t.version = a.version
        ) as terms
      from timed as a
    )
  select (k.payer).group_id, (k.payer).payer_id, (k.payer).linked_at, (k.carried).kind, d.code_id,
    (k.carried).object_id, k.at, k.at, d.org_id, d.program_id, a.version, a.terms, null::uuid, d.code_id,
    coalesce((d.code).chain_id, d.code_id), (d.code).referrer_id,
    coalesce((d.code).beneficiary_id, (d.code).referrer_id), (k.payer).person, false,
    referral_private.evidence_refusal(d.code, k.payer, k.at, a.terms, a.is_usable)
  from keyed as k
  join known as d on d.code_key = k.key
  join agreed as a on a.code_id = d.code_id and a.at = k.at;
end
$$;

-- All evidence of these payers: whom it credits, under which terms, and the reason if it can never win.
create function referral_private.evidence_of(
  p_stripe_account text,
  p_livemode boolean,
  p_together referral_private.settled_payers
)
returns setof referral_private.evidence
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_carried referral_private.carried_evidence[] := array(
    select c from referral_private.evidence_carried(p_stripe_account, p_livemode, p_together) as c
  );
begin
  if exists (select from unnest(p_together.payers) as p where p.person is not null)
    or exists (select from unnest(v_carried) as c where (c.carried).kind = 'redemption_id')
  then
    return query
    select e.* from referral_private.evidence_by_redemption(p_stripe_account, p_together.payers, v_carried) as e;
  end if;
  if exists (select from unnest(v_carried) as c where (c.carried).kind >= 'metadata_code') then
    return query select e.* from referral_private.evidence_by_code(p_stripe_account, v_carried) as e;
  end if;
end
$$;
