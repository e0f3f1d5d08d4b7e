-- Settings of an organisation: changed by its admins, its Stripe account and its link host only by the operator, because
-- whoever sets the account receives that account's events, and whoever sets the host says which apps open its links.
create function referral_private.update_organisation(p_org_id uuid, p_changes jsonb)
returns referral.organisations
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_settings constant text[] := array[
    'name', 'active', 'web_destination', 'ios_destination', 'android_destination', 'android_package', 'ios_app_ids',
    'android_fingerprints', 'code_length', 'codes_per_member', 'max_uses_cap', 'rotation_grace', 'redemptions_per_account',
    'redemptions_per_address', 'click_window', 'clicks_per_visitor', 'clicks_per_code'
  ];
  v_old referral.organisations;
  v_new referral.organisations;
  v_unknown text;
  v_violated text;
begin
  perform referral_private.require_role(p_org_id, 'admin');
  if p_changes is null or jsonb_typeof(p_changes) <> 'object' then
    perform referral_private.raise_error('invalid_argument', 'changes');
  end if;
  select string_agg(key, ', ') into v_unknown
  from jsonb_object_keys(p_changes) as key
  where key <> all (v_settings)
    and not (key in ('stripe_account_id', 'link_origin') and referral_private.is_operator());
  if v_unknown is not null then
    perform referral_private.raise_error('invalid_argument', 'changes: ' || v_unknown);
  end if;

  if p_changes ? 'stripe_account_id' then
    perform referral_private.change_stripe_account(p_org_id, p_changes ->> 'stripe_account_id');
  elsif p_changes ? 'active' then
    -- A redemption under way would be overtaken by the answer.
    perform referral_private.lock_account_of(p_org_id);
  end if;

  select * into strict v_old from referral.organisations as o where o.id = p_org_id for no key update;
  v_new := jsonb_populate_record(v_old, p_changes);
  update referral.organisations as o
  set name = v_new.name, active = v_new.active, link_origin = v_new.link_origin,
    web_destination = v_new.web_destination, ios_destination = v_new.ios_destination,
    android_destination = v_new.android_destination, android_package = v_new.android_package,
    ios_app_ids = v_new.ios_app_ids, android_fingerprints = v_new.android_fingerprints,
    code_length = v_new.code_length, codes_per_member = v_new.codes_per_member,
    max_uses_cap = v_new.max_uses_cap, rotation_grace = v_new.rotation_grace,
    redemptions_per_account = v_new.redemptions_per_account, redemptions_per_address = v_new.redemptions_per_address,
    click_window = v_new.click_window, clicks_per_visitor = v_new.clicks_per_visitor, clicks_per_code = v_new.clicks_per_code,
    updated_at = clock_timestamp()
  where o.id = p_org_id
  returning * into v_new;
  if v_new.active <> v_old.active then
    perform referral_private.settle_program(referral_private.account_of(p_org_id), p.id, v_new.updated_at)
    from referral.programs as p
    where p.org_id = p_org_id;
  end if;
  return v_new;
exception
  when unique_violation or check_violation then
    get stacked diagnostics v_violated = constraint_name;
    perform referral_private.raise_violation(v_violated);
  when not_null_violation then
    get stacked diagnostics v_violated = column_name;
    perform referral_private.raise_error('invalid_argument', v_violated);
  when invalid_text_representation or datetime_field_overflow or invalid_datetime_format or interval_field_overflow or numeric_value_out_of_range then
    perform referral_private.raise_error('invalid_argument', 'changes');
  when lock_not_available then
    perform referral_private.raise_error('busy');
end
$$;

revoke execute on function referral_private.update_organisation from public;

grant execute on function referral_private.update_organisation to authenticated, service_role;

-- The account decides which payments can confirm the organisation's redemptions, so it is fixed once there are any. What
-- either account's payments say is settled anew: the organisation's redemptions join one account and leave the other.
create function referral_private.change_stripe_account(p_org_id uuid, p_account_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_old text := referral_private.account_of(p_org_id);
  v_new text := coalesce(p_account_id, '');
begin
  perform referral_private.lock_account(least(v_old, v_new));
  perform referral_private.lock_account(greatest(v_old, v_new));
  if v_old = v_new then
    return;
  end if;
  if referral_private.account_of(p_org_id) <> v_old then
    perform referral_private.raise_error('busy');
  end if;

  if v_old <> '' and exists (select from referral_private.payments as p where p.account = v_old)
    or exists (select from referral.redemptions as r where r.org_id = p_org_id and r.confirmed_at is not null)
    or exists (select from referral_private.postings as p where p.org_id = p_org_id)
    or exists (select from referral_private.recorded_facts as f where f.org_id = p_org_id)
    or exists (
      select from referral.codes as c
      join referral_private.payer_evidence as e on e.named = c.code_key
      where c.org_id = p_org_id and e.account in (v_old, v_new)
    )
    or exists (
      select from referral.codes as c
      join referral_private.promotion_codes as p on p.code_key = c.code_key
      where c.org_id = p_org_id and p.account in (v_old, v_new)
    )
  then
    perform referral_private.raise_error('stripe_account_fixed');
  end if;
  update referral.organisations as o set stripe_account_id = p_account_id where o.id = p_org_id;
  perform referral_private.settle_organisation(p_org_id, array[v_old, v_new]);
end
$$;

revoke execute on function referral_private.change_stripe_account from public;
