-- Which won sales staff have rejected.

-- A rejection that stands, in a program: of what a person buys, or of what names one of a referral's payers.
create type referral_private.rejection as (org_id uuid, program_id uuid, person_id uuid, payer_id text collate "C");

-- The rejections that can be about sales of these payers, or about the referees of their evidence. One that named a
-- payer's account is the payer's.
create function referral_private.rejections_of(
  p_stripe_account text,
  p_livemode boolean,
  p_together referral_private.settled_payers,
  p_evidence referral_private.evidence[]
)
returns referral_private.rejection[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_org_ids constant uuid[] := array(select distinct e.org_id from unnest(p_evidence) as e);
  v_program_ids constant uuid[] := array(select distinct e.program_id from unnest(p_evidence) as e);
  v_people uuid[];
  v_names text[];
begin
  if not exists (
    select from referral.decisions as d
    where d.org_id = any (v_org_ids) and d.program_id = any (v_program_ids) and d.kind = 'reject'
      and d.withdrawn_at is null
  ) then
    return '{}';
  end if;
  v_people := array(
    select p.person from unnest(p_together.payers) as p where p.person is not null
    union
    select e.referee_id from unnest(p_evidence) as e where e.redemption_id is not null
  );
  v_names := array(select distinct c.carrier from unnest(p_together.carriers) as c);
  return array(
    select (d.org_id, d.program_id, d.person_id, null)::referral_private.rejection
    from referral.decisions as d
    where d.org_id = any (v_org_ids) and d.program_id = any (v_program_ids) and d.person_id = any (v_people)
      and d.kind = 'reject' and d.withdrawn_at is null
    union all
    select (d.org_id, d.program_id, null, name)::referral_private.rejection
    from referral_private.decision_payers as w
    join referral.decisions as d on d.org_id = w.org_id and d.id = w.decision_id
    left join referral_private.customer_accounts as a
      on a.customer_account = w.payer_id and a.stripe_account = w.stripe_account and a.livemode = w.livemode
    cross join lateral unnest(array[w.payer_id, a.customer_id]) as name
    where w.payer_id = any (v_names) and w.stripe_account = p_stripe_account and w.livemode = p_livemode
      and w.org_id = any (v_org_ids) and d.program_id = any (v_program_ids) and d.kind = 'reject'
      and d.withdrawn_at is null and name is not null
  );
end
$$;

-- These won sales, of which those do not qualify whose referrals, by the evidence that won them, staff rejected.
create function referral_private.without_rejected(
  p_sales referral_private.named_sale[],
  p_evidence referral_private.evidence[],
  p_won referral_private.won_sale[],
  p_rejections referral_private.rejection[]
)
returns setof referral_private.won_sale
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  with
    won as materialized (
      select w.sale_id, e.org_id, e.program_id, w.person,
        case when e.redemption_id is not null then e.referee_id end as referee_id
      from unnest(p_won) as w
      join unnest(p_evidence) with ordinality as e on e.ordinality = w.n
      where w.is_won
    ),
    rejected as (
      select w.sale_id
      from (
        select won.sale_id, won.org_id, won.program_id, unnest(array[won.person, won.referee_id]) as person_id from won
      ) as w
      join unnest(p_rejections) as r
        on r.person_id = w.person_id and r.program_id = w.program_id and r.org_id = w.org_id
      union all
      select w.sale_id
      from (
        -- A rejection may have named a guest's payment that has become a customer's.
        select s.sale_id, unnest(s.object_ids || s.payer_id) as payer_id from unnest(p_sales) as s
      ) as named
      join unnest(p_rejections) as r on r.payer_id = named.payer_id
      join won as w on w.sale_id = named.sale_id and w.program_id = r.program_id and w.org_id = r.org_id
    )
  select w.sale_id, w.payer_id, w.group_id, w.person, w.is_guest, w.currency, w.paid, w.reversed, w.total,
    w.total_excluding_tax, w.sale_at, w.paid_at, w.warned_at, w.n, w.is_won, w.is_forfeited,
    case when w.sale_id in (select r.sale_id from rejected as r) then 'rejected' else w.refusal end
  from unnest(p_won) as w;
end
$$;
