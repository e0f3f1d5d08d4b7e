-- Who clicked, without knowing who: within a day and a code, clicks from one network with one user agent are one
-- visitor's. Neither is stored, only their hash under the key of the day.

-- How many clicks on a code are stored of a visitor: the first one counts. Not logged, as the keys are not: after a
-- crash there is a new key, under which no visitor would be found again.
create unlogged table referral_private.visitors (
  org_id uuid not null,
  visitor bytea not null,
  day date not null,
  clicks int not null,
  constraint visitors_pkey primary key (day, org_id, visitor)
);

alter table referral_private.visitors enable row level security;

-- A visitor of one code has nothing in common with one of another: a person who redeems is known by their click, and
-- must not show on which other links they clicked that day. Without an address nothing tells visitors apart, and each
-- click has a visitor of its own.
create function referral_private.visitor_of(
  p_key bytea,
  p_code_id uuid,
  p_click_id uuid,
  p_address text,
  p_user_agent text
)
returns bytea
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return referral_private.hash_under(
    p_key,
    p_code_id || ' ' || coalesce(
      referral_private.network_of(p_address, 24) || ' ' || coalesce(p_user_agent, ''), p_click_id::text
    )
  );
end
$$;
