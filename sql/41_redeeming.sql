-- From a code to a redemption, in one transaction.

-- Takes the account lock in the mode that a redemption needs, and says whether to settle: where the referee or the
-- referrer is known as a payer, it may change what their sales earn, so then the lock is exclusive. Locks are never
-- upgraded: the shared one is given back with the inner block before the exclusive one is taken.
create function referral_private.lock_account_to_redeem(p_account text, p_user_ids uuid[])
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(referral_private.account_lock_key(p_account));
  if exists (
    select from referral_private.payer_users as l where l.user_id = any (p_user_ids) and l.account = p_account
  ) or exists (
    select from referral.redemptions as r
    join referral_private.payer_evidence as e on e.named = r.id::text and e.priority = 2 and e.account = p_account
    where r.referee_id = any (p_user_ids)
  ) then
    raise sqlstate 'RB001';
  end if;
  return false;
exception
  when sqlstate 'RB001' then
    perform referral_private.lock_account(p_account);
    return true;
end
$$;

revoke execute on function referral_private.lock_account_to_redeem from public;

-- The terms under which this person can redeem the code now. Raises `self_referral`, `new_users_only`, or why the code
-- cannot be redeemed by anybody.
create function referral_private.require_redeemable(p_code referral.codes, p_user_id uuid)
returns referral.program_terms
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_refusal text;
  v_terms referral.program_terms;
begin
  if p_user_id in (p_code.referrer_id, p_code.beneficiary_id, p_code.created_by) then
    perform referral_private.raise_error('self_referral');
  end if;
  select referral_private.refusal_of(p_code.status, p_code.expires_at, p_code.redeemable_until, o.active and p.active)
  into v_refusal
  from referral.programs as p
  join referral.organisations as o on o.id = p.org_id
  where p.id = p_code.program_id;
  if v_refusal is not null then
    perform referral_private.raise_error(v_refusal);
  end if;
  v_terms := referral_private.terms_in_force(p_code.org_id, p_code.program_id);
  perform referral_private.require_new_user(p_user_id, v_terms.terms);
  return v_terms;
end
$$;

revoke execute on function referral_private.require_redeemable from public;

-- What a referee learns of their redemption: nothing of the referrer, the beneficiary or the creator.
create type referral.redeemed_code as (
  redemption_id uuid,
  org_id uuid,
  program_id uuid,
  code text,
  status referral.redemption_status,
  redeemed_at timestamptz
);

create function referral_private.redeem_code(p_code text, p_click_id uuid, p_provenance text, p_channel text)
returns setof referral.redeemed_code
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_user_id uuid := referral_private.require_person();
  v_key text := referral_private.normalise_code(p_code);
  v_code referral.codes;
  v_terms referral.program_terms;
  v_click referral_private.clicks;
  v_redemption referral.redemptions;
  v_account text;
  v_is_payer boolean;
  v_violated text;
begin
  if v_key is null then
    perform referral_private.raise_error('invalid_code');
  end if;
  -- A client may say `typed` freely; every other provenance is proved by a click.
  if coalesce(p_provenance not in ('typed', 'link', 'install_referrer', 'clipboard'), true) then
    perform referral_private.raise_error('invalid_argument', 'provenance');
  end if;
  if (p_provenance = 'typed') <> (p_click_id is null) then
    perform referral_private.raise_error('invalid_click');
  end if;

  select * into v_code from referral.codes as c where c.code_key = v_key;
  if not found then
    perform referral_private.raise_error('code_not_found');
  end if;
  v_account := referral_private.account_of(v_code.org_id);
  v_is_payer := referral_private.lock_account_to_redeem(v_account, array[v_user_id, v_code.referrer_id]);
  if referral_private.account_of(v_code.org_id) <> v_account then
    perform referral_private.raise_error('busy');
  end if;
  -- The shared row lock keeps a deactivation that has been answered from being overtaken by a redemption.
  select * into strict v_code from referral.codes as c where c.id = v_code.id for share;

  select * into v_redemption
  from referral.redemptions as r
  where r.org_id = v_code.org_id and r.program_id = v_code.program_id and r.referee_id = v_user_id;

  if not found then
    v_terms := referral_private.require_redeemable(v_code, v_user_id);
    v_click := referral_private.click_of(v_code, p_click_id);
    insert into referral.redemptions (
      org_id, program_id, terms_version, code_id, referrer_id, referee_id, provenance, channel, click_id, clicked_at
    )
    values (
      v_code.org_id, v_code.program_id, v_terms.version, v_code.id, v_code.referrer_id, v_user_id,
      p_provenance::referral.provenance, coalesce(v_click.channel::text, p_channel), v_click.click_id, v_click.clicked_at
    )
    on conflict do nothing
    returning * into v_redemption;

    if found then
      perform referral_private.use_quota(v_code.org_id, v_code.quota_id);
      perform referral_private.count_redemption(v_code.org_id, v_user_id);
      if v_is_payer then
        perform referral_private.settle_user(v_account, v_user_id, 'redemption ' || v_redemption.id);
        -- It may be what makes a code that the referrer's purchases carried a mutual one.
        perform referral_private.settle_user(v_account, v_code.referrer_id, 'redemption ' || v_redemption.id);
        select * into strict v_redemption
        from referral.redemptions as r
        where r.org_id = v_redemption.org_id and r.id = v_redemption.id;
      end if;
    else
      -- The same person was faster on another connection, or somebody else with the click, or the referrer has redeemed
      -- this person's code.
      select * into v_redemption
      from referral.redemptions as r
      where r.org_id = v_code.org_id and r.program_id = v_code.program_id and r.referee_id = v_user_id;
      if not found and exists (
        select from referral.redemptions as r where r.org_id = v_code.org_id and r.click_id = p_click_id
      ) then
        perform referral_private.raise_error('invalid_click');
      elsif v_redemption.id is null then
        perform referral_private.raise_error('mutual_referral');
      end if;
    end if;
  end if;

  if v_redemption.code_id <> v_code.id then
    perform referral_private.raise_error('already_redeemed');
  end if;
  return query
  select v_redemption.id, v_redemption.org_id, v_redemption.program_id, v_code.code, v_redemption.status, v_redemption.redeemed_at;
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.redeem_code from public;

grant execute on function referral_private.redeem_code to authenticated;

-- Takes one use of a limited code, or raises `code_limit_reached`. One conditional statement: with one use left and
-- any number of callers, one of them gets it.
create function referral_private.use_quota(p_org_id uuid, p_quota_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if p_quota_id is null then
    return;
  end if;
  update referral.code_quotas as q
  set used = q.used + 1
  where q.org_id = p_org_id and q.quota_id = p_quota_id and q.used < q.max_uses;
  if not found then
    perform referral_private.raise_error('code_limit_reached');
  end if;
end
$$;

revoke execute on function referral_private.use_quota from public;

-- Where the terms are for new users only, the account must exist and be young enough. Raises `new_users_only`.
create function referral_private.require_new_user(p_user_id uuid, p_terms jsonb)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_terms ? 'new_users_only_days' and not exists (
    select from auth.users as u
    where u.id = p_user_id
      and u.created_at >= clock_timestamp() - make_interval(days => (p_terms ->> 'new_users_only_days')::int)
  ) then
    perform referral_private.raise_error('new_users_only');
  end if;
end
$$;

revoke execute on function referral_private.require_new_user from public;
