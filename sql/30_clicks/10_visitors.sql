-- Who clicked, without knowing who: within a day and a code, clicks from one network with one user agent are one
-- visitor's. Neither is stored, only their hash under a key of the day. Once the key is gone, nobody can tell whose
-- it was.

-- Not logged, so that the key is in no archive of the write-ahead log. After a crash there is a new one.
create unlogged table referral_private.visitor_keys (
  day date not null,
  key bytea not null,
  constraint visitor_keys_pkey primary key (day)
);

alter table referral_private.visitor_keys enable row level security;

-- How many clicks on a code are stored of a visitor: the first one counts.
create table referral_private.visitors (
  org_id uuid not null,
  code_id uuid not null,
  visitor bytea not null,
  day date not null,
  clicks int not null,
  constraint visitors_pkey primary key (org_id, code_id, visitor)
);

create index visitors_by_day on referral_private.visitors (day);

alter table referral_private.visitors enable row level security;

-- The key of a day in UTC, drawn when it is first asked for: 244 random bits. Drawing it removes those of the days
-- before.
create function referral_private.visitor_key(p_day date)
returns bytea
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key bytea;
begin
  select k.key into v_key from referral_private.visitor_keys as k where k.day = p_day;
  if found then
    return v_key;
  end if;
  delete from referral_private.visitor_keys as k where k.day < p_day;
  insert into referral_private.visitor_keys (day, key)
  values (p_day, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
  on conflict do nothing;
  select k.key into strict v_key from referral_private.visitor_keys as k where k.day = p_day;
  return v_key;
end
$$;

-- A visitor of one code has nothing in common with one of another: a person who redeems is known by their click, and
-- must not show on which other links they clicked that day. Without an address nothing tells visitors apart, and each
-- click has a visitor of its own. A hash follows the key, always of one length: only the key's holder can compute the
-- outer hash.
create function referral_private.visitor_of(
  p_day date,
  p_code_id uuid,
  p_click_id uuid,
  p_address text,
  p_user_agent text
)
returns bytea
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known text := p_code_id || ' ' || coalesce(
    referral_private.network_of(p_address, 24) || ' ' || coalesce(p_user_agent, ''), p_click_id::text
  );
begin
  return sha256(referral_private.visitor_key(p_day) || sha256(convert_to(v_known, 'UTF8')));
end
$$;
