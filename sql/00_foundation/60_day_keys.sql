-- Who called, without knowing who: what tells people apart, such as an address, is stored only as a hash under a random
-- key of the day. Hashes of two days have nothing in common, and once the key is gone nobody can tell whose they were.

-- Not logged, so that the key is in no archive of the write-ahead log. After a crash there is a new one.
create unlogged table referral_private.day_keys (
  day date not null,
  key bytea not null,
  constraint day_keys_pkey primary key (day)
);

alter table referral_private.day_keys enable row level security;

-- Removes the keys of the days before this one, for good.
create function referral_private.forget_keys_before(p_day date)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from referral_private.day_keys as k where k.day < p_day;
end
$$;

-- The key of a day in UTC, drawn when it is first asked for: 244 random bits. Drawing it removes those of the days
-- before.
create function referral_private.day_key(p_day date)
returns bytea
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key bytea;
begin
  select k.key into v_key from referral_private.day_keys as k where k.day = p_day;
  if found then
    return v_key;
  end if;
  perform referral_private.forget_keys_before(p_day);
  insert into referral_private.day_keys (day, key)
  values (p_day, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
  on conflict do nothing;
  select k.key into strict v_key from referral_private.day_keys as k where k.day = p_day;
  return v_key;
end
$$;

-- The hash of a text under a key. A hash follows the key, always of one length: only the key's holder can compute the
-- outer hash.
create function referral_private.hash_under(p_key bytea, p_text text)
returns bytea
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return sha256(p_key || sha256(convert_to(p_text, 'UTF8')));
end
$$;

-- The hash of a text under the key of a day.
create function referral_private.hash_of_day(p_day date, p_text text)
returns bytea
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.hash_under(referral_private.day_key(p_day), p_text);
end
$$;
