-- What objects carry: the ids of redemptions, codes, and promotion codes, each with the time of its object.

-- What a payer's object carries. Of a guest the same can be stored under several carriers.
create type referral_private.carried_evidence as (
  payer referral_private.payer,
  carried referral_private.payer_evidence
);

-- What the objects of these payers carry, each statement once for each payer.
create function referral_private.evidence_carried(
  p_stripe_account text,
  p_livemode boolean,
  p_together referral_private.settled_payers
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
  select distinct on ((c.payer).payer_id, e.kind, e.named, e.object_id) c.payer, e
  from referral_private.payer_evidence as e
  join referral_private.payers_by_carrier(p_together) as c on c.carrier = e.carrier
  where e.stripe_account = p_stripe_account and e.livemode = p_livemode
    and e.carrier = any (array(select given.carrier from unnest(p_together.carriers) as given));
end
$$;

-- The code that a promotion code belonged to at a time, by the statement in force then. Before the first statement
-- that is known, it is what that one says was before; where it says nothing of that, what it says.
create function referral_private.promotion_key_at(
  p_stripe_account text,
  p_livemode boolean,
  p_promotion_code_id text,
  p_at timestamptz
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_statement referral_private.promotion_code_statements;
begin
  select s.* into v_statement
  from referral_private.promotion_code_statements as s
  where s.promotion_code_id = p_promotion_code_id and s.stripe_account = p_stripe_account and s.livemode = p_livemode
    and s.stated_at <= p_at
  order by s.stated_at desc, s.stated_by desc
  limit 1;
  if found then
    return v_statement.code_key;
  end if;
  select s.* into v_statement
  from referral_private.promotion_code_statements as s
  where s.promotion_code_id = p_promotion_code_id and s.stripe_account = p_stripe_account and s.livemode = p_livemode
  order by s.stated_at, s.stated_by
  limit 1;
  return case when v_statement.states_previous then v_statement.previous_key else v_statement.code_key end;
end
$$;

-- The code that this evidence named at its time, as a key; null for a redemption.
create function referral_private.key_carried(p_carried referral_private.payer_evidence)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_carried.kind = 'promotion_code' then referral_private.promotion_key_at(
      p_carried.stripe_account, p_carried.livemode, p_carried.named, p_carried.carried_at
    )
    when p_carried.kind >= 'metadata_code' then p_carried.named
  end;
end
$$;

-- The codes with these keys of the organisations of a Stripe account.
create function referral_private.codes_by_keys(p_stripe_account text, p_keys text[])
returns setof referral.codes
language plpgsql
stable
rows 10
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  return query
  select c.* from referral.codes as c
  where c.code_key = any (p_keys) and referral_private.stripe_account_of(c.org_id) = p_stripe_account;
end
$$;
