-- The texts that purchases carry: a new code cannot have them.

-- Those of these keys that a purchase carries from a time on.
create function referral_private.keys_carried_since(p_keys text[], p_since timestamptz)
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  return array(
    select key
    from unnest(p_keys) as key
    where exists (
      select from referral_private.payer_evidence as e
      where e.named = key and e.kind >= 'metadata_code' and e.kind <> 'promotion_code' and e.carried_at >= p_since
    ) or exists (
      select from referral_private.promotion_code_statements as p
      cross join lateral (
        select from referral_private.payer_evidence as e
        where e.named = p.promotion_code_id and e.kind = 'promotion_code'
          and e.stripe_account = p.stripe_account and e.livemode = p.livemode and e.carried_at >= p_since
        limit 1
      ) as carried
      where key in (p.code_key, p.previous_key)
    )
  );
end
$$;

-- Those of these keys that a new code cannot have: a purchase of the last 400 days carries it, or one with a future
-- date, as those of test clocks have. Renewals carry the text again, and the code would be credited for customers whom
-- it did not bring.
create function referral_private.carried_keys(p_keys text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.keys_carried_since(p_keys, clock_timestamp() - 400 * interval '24 hours');
end
$$;

-- The evidence of objects that carry one of these keys from a time on, by themselves or by a promotion code.
create function referral_private.evidence_of_keys(
  p_stripe_account text,
  p_livemode boolean,
  p_keys text[],
  p_since timestamptz
)
returns setof referral_private.payer_evidence
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select e.* from referral_private.payer_evidence as e
  where e.stripe_account = p_stripe_account and e.livemode = p_livemode and e.carried_at >= p_since
    and e.named = any (p_keys) and e.kind >= 'metadata_code' and e.kind <> 'promotion_code'
  union
  select e.*
  from referral_private.promotion_code_statements as p
  join referral_private.payer_evidence as e
    on e.named = p.promotion_code_id and e.kind = 'promotion_code'
    and e.stripe_account = p.stripe_account and e.livemode = p.livemode
  where p.stripe_account = p_stripe_account and p.livemode = p_livemode and e.carried_at >= p_since
    and (p.code_key = any (p_keys) or p.previous_key = any (p_keys));
end
$$;
