-- What staff and the operator do to codes is on record, with the limit in place of the quota. What a referrer does to
-- their own code, and the end of a code's time, are in code_changes; a batch is on record as a whole.

-- A code as the record has it.
create function referral_private.recorded_code(p_code referral.codes)
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
begin
  return to_jsonb(p_code) - '{id,org_id,code_key,quota_id,created_at,updated_at}'::text[] || jsonb_build_object(
    'max_uses',
    (select q.max_uses from referral.code_quotas as q where q.org_id = p_code.org_id and q.quota_id = p_code.quota_id)
  );
end
$$;

-- Puts on record what staff and the operator do to a code.
create function referral_private.record_code()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if referral_private.acts_with_role(new.org_id, 'coordinator') then
    perform referral_private.record_difference(
      new.org_id, 'code', new.id, case when tg_op = 'UPDATE' then referral_private.recorded_code(old) end,
      referral_private.recorded_code(new),
      case when new.status <> old.status or new.redeemable_until < old.redeemable_until then 'reason' end
    );
  end if;
  return null;
end
$$;

create trigger codes_made_are_on_record
after insert on referral.codes
for each row
when (new.batch_id is null)
execute function referral_private.record_code();

create trigger codes_changed_are_on_record
after update on referral.codes
for each row
when (new.status != 'expired' or old.status = 'expired')
execute function referral_private.record_code();

-- Puts a new limit of a quota on record as a change of the code in use that has it.
create function referral_private.record_limit()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform referral_private.record_difference(
    c.org_id, 'code', c.id, jsonb_build_object('max_uses', old.max_uses), jsonb_build_object('max_uses', new.max_uses)
  )
  from referral.codes as c
  where c.org_id = new.org_id and c.quota_id = new.quota_id and c.status in ('active', 'suspended');
  return null;
end
$$;

create trigger code_quotas_limits_are_on_record
after update of max_uses on referral.code_quotas
for each row
execute function referral_private.record_limit();
