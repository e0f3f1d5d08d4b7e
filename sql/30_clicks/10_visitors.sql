-- Who clicked, without knowing who: within a day and a code, clicks from one network with one user agent are one
-- visitor's. Neither is stored, only their hash under the key of the day.

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

-- A visitor of one code has nothing in common with one of another: a person who redeems is known by their click, and
-- must not show on which other links they clicked that day. Without an address nothing tells visitors apart, and each
-- click has a visitor of its own.
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
begin
  return referral_private.hash_of_day(
    p_day,
    p_code_id || ' ' || coalesce(
      referral_private.network_of(p_address, 24) || ' ' || coalesce(p_user_agent, ''), p_click_id::text
    )
  );
end
$$;
