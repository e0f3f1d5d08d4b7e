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
  join referral.redemptions as r on r.id = n.redemption_id
  join referral.codes as c on c.org_id = r.org_id and c.id = r.code_id
  join referral.program_terms as t
    on t.org_id = r.org_id and t.program_id = r.program_id and t.version = r.terms_version
  where referral_private.stripe_account_of(r.org_id) = p_stripe_account;
end
$$;

-- Why a code that a payer carried can never win; null where it can. The program, the terms and the code must have been
-- good at that time, and nobody earns by their own purchase, nor two people by each other's.
create function referral_private.evidence_refusal(
  p_code referral.codes,
  p_payer referral_private.payer,
  p_at timestamptz,
  p_terms jsonb
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
    when not referral_private.is_code_usable(p_code.org_id, p_code.id, p_at) then 'code_unusable'
    when p_payer.person in (p_code.referrer_id, p_code.beneficiary_id, p_code.created_by) then 'self_referral'
    when p_payer.person is not null and exists (
      select from referral.redemptions as r
      where r.org_id = p_code.org_id and r.program_id = p_code.program_id
        and r.referee_id = p_code.referrer_id and r.referrer_id = p_payer.person
        and date_trunc('second', r.redeemed_at) <= p_at
    ) then 'mutual_referral'
    when coalesce(p_payer.signed_up_at, '-infinity')
      < p_at - (p_terms ->> 'new_users_only_days')::int * interval '24 hours' then 'new_users_only'
  end;
end
$$;

-- Evidence by codes, under the terms that were in force when they were carried. A code that was made later was not
-- usable.
create function referral_private.evidence_by_code(p_stripe_account text, p_carried referral_private.carried_evidence[])
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
    keyed as materialized (
      select c.payer, c.carried, referral_private.key_carried(c.carried) as key from unnest(p_carried) as c
    ),
    agreed as materialized (
      select c.payer, c.carried, d as code,
        referral_private.terms_at(d.org_id, d.program_id, (c.carried).carried_at) as terms_version
      from keyed as c
      join referral_private.codes_by_keys(p_stripe_account, array(select k.key from keyed as k)) as d
        on d.code_key = c.key
    )
  select (a.payer).group_id, (a.payer).payer_id, (a.payer).linked_at, (a.carried).kind, (a.code).id,
    (a.carried).object_id, (a.carried).carried_at, (a.carried).carried_at, (a.code).org_id, (a.code).program_id,
    a.terms_version, t.terms, null::uuid, (a.code).id, coalesce((a.code).chain_id, (a.code).id),
    (a.code).referrer_id, coalesce((a.code).beneficiary_id, (a.code).referrer_id), (a.payer).person, false,
    referral_private.evidence_refusal(a.code, a.payer, (a.carried).carried_at, t.terms)
  from agreed as a
  left join referral.program_terms as t
    on t.org_id = (a.code).org_id and t.program_id = (a.code).program_id and t.version = a.terms_version;
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
