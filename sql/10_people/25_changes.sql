-- The record of what staff and the operator change: who, what, before and after. It is written by triggers, so that no
-- function can forget it, and nobody changes it. Redemptions, clicks and payments are not in it.
create type referral.change_subject as enum (
  'organisation',
  'member',
  'program',
  'terms',
  'allowed_word',
  'code',
  'code_batch',
  'decision'
);

create table referral_private.changes (
  org_id uuid not null,
  id bigint generated always as identity,
  changed_at timestamptz not null default clock_timestamp(),
  actor_id uuid,
  -- The role of the database in which it was made.
  made_as text not null,
  subject referral.change_subject not null,
  subject_id uuid not null,
  before jsonb,
  after jsonb,
  constraint changes_pkey primary key (org_id, id),
  constraint changes_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict
);

create index changes_by_subject on referral_private.changes (org_id, subject_id, id);

create index changes_by_actor on referral_private.changes (org_id, actor_id, id);

alter table referral_private.changes enable row level security;

create trigger changes_are_append_only
before update or delete or truncate on referral_private.changes
for each statement
execute function referral_private.refuse_change();

alter table referral_private.changes enable always trigger changes_are_append_only;

-- Puts on record what differs between two states of a subject; nothing, where nothing does. The state before is null of
-- what is made, the state after of what is removed. `p_with` is a column that goes with every change.
create function referral_private.record_difference(
  p_org_id uuid,
  p_subject referral.change_subject,
  p_subject_id uuid,
  p_before jsonb,
  p_after jsonb,
  p_with text default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into referral_private.changes (org_id, subject, subject_id, actor_id, made_as, before, after)
  select p_org_id, p_subject, p_subject_id, auth.uid(), coalesce(nullif(current_setting('role'), 'none'), session_user),
    jsonb_object_agg(key, was.value) filter (where p_before is not null),
    jsonb_object_agg(key, is_now.value) filter (where p_after is not null)
  from jsonb_each(p_before) as was
  full join jsonb_each(p_after) as is_now using (key)
  where coalesce(was.value, 'null') <> coalesce(is_now.value, 'null') or key = p_with and is_now.value <> 'null'
  having bool_or(coalesce(was.value, 'null') <> coalesce(is_now.value, 'null'));
end
$$;

-- Puts a change of a row on record. The trigger names the subject, the column of its id, and the column that goes with
-- every change.
create function referral_private.record_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
declare
  v_row jsonb := to_jsonb(coalesce(new, old));
  v_left_out text[] := array['id', 'org_id', 'created_at', 'updated_at', tg_argv[1]];
  v_before jsonb := to_jsonb(old);
  v_after jsonb := to_jsonb(new);
begin
  -- A name that no link shows is nobody's business but the organisation's.
  if v_before ->> 'public_name' = 'false' then
    v_before := v_before - 'display_name';
  end if;
  if v_after ->> 'public_name' = 'false' then
    v_after := v_after - 'display_name';
  end if;
  -- A name is on record while a link shows it; a member who is removed leaves none.
  if tg_op <> 'UPDATE' then
    v_left_out := v_left_out || 'display_name'::text;
  end if;
  perform referral_private.record_difference(
    coalesce(v_row ->> 'org_id', v_row ->> 'id')::uuid, tg_argv[0]::referral.change_subject,
    (v_row ->> tg_argv[1])::uuid,
    v_before - v_left_out, v_after - v_left_out, tg_argv[2]
  );
  return null;
end
$$;

create trigger organisations_are_on_record
after insert or update on referral.organisations
for each row
execute function referral_private.record_change('organisation', 'id');

create type referral.change as (
  id bigint,
  changed_at timestamptz,
  actor_id uuid,
  made_as text,
  subject referral.change_subject,
  subject_id uuid,
  before jsonb,
  after jsonb
);

create function referral_private.list_changes(
  p_org_id uuid,
  p_subject_id uuid default null,
  p_actor_id uuid default null,
  p_after bigint default null,
  p_page_size int default 100
)
returns setof referral.change
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_custom_plan'
-- In the order of the index, up to a page: all of an organisation would be read and sorted else.
set enable_bitmapscan = off
as $$
begin
  perform referral_private.require_role(p_org_id, 'admin');
  if p_after is not null and not exists (
    select from referral_private.changes as c where c.org_id = p_org_id and c.id = p_after
  ) then
    perform referral_private.raise_error('invalid_argument', 'after: the id of a change of the organisation');
  end if;
  return query
  select c.id, c.changed_at, c.actor_id, c.made_as, c.subject, c.subject_id, c.before, c.after
  from referral_private.changes as c
  where c.org_id = p_org_id and (p_after is null or c.id < p_after)
    and (p_subject_id is null or c.subject_id = p_subject_id)
    and (p_actor_id is null or c.actor_id = p_actor_id)
  order by c.id desc
  limit referral_private.page_size(p_page_size);
end
$$;

comment on function referral_private.list_changes is
  'public: Returns what staff and the operator changed, and the names that members showed, newest first. before and
after have the columns that changed; before is null where something was made, after where it was removed. actor_id is
null for the operator. made_as is the role of the database: authenticated for people, service_role for the operator''s
server, another for the operator''s jobs and SQL.

group: Set up organisations and programs
org_id: the organisation
subject_id: of this organisation, member (the user), program, code, batch of codes or decision only; terms are of their
  program, allowed words of the organisation
actor_id: by this person only
after: the last id of the page before; none for the first page
page_size: rows in a page, 1 to 1,000
callers: admins and the operator
errors: not_signed_in, anonymous_user, not_a_member, not_allowed, organisation_not_found, invalid_argument
timeout: 10s';

grant execute on function referral_private.list_changes to authenticated, service_role;
