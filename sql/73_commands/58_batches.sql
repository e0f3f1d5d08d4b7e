-- Batches of codes: one at a time in an organisation, and so many rows a day. A batch makes thousands of rows, and it
-- says which texts are taken.

create table referral_private.code_batches (
  org_id uuid not null,
  batch_id uuid not null default gen_random_uuid(),
  asked int not null,
  asked_by uuid,
  asked_at timestamptz not null default clock_timestamp(),
  constraint code_batches_pkey primary key (org_id, batch_id),
  constraint code_batches_are_of_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict
);

create index code_batches_by_time on referral_private.code_batches (org_id, asked_at) include (asked, asked_by);

alter table referral_private.code_batches enable row level security;

comment on table referral_private.code_batches is
  'Batches of codes that were asked for: drawn, imported, refused or tried. asked is the number of rows; asked_by is
null for the operator.';

-- Begins a batch of so many rows, and returns its id. The operator has no limit of rows. A call that fails later takes
-- its count back. Raises `busy` while another batch of the organisation is under way, and `rate_limited`.
create function referral_private.begin_batch(p_org_id uuid, p_rows int)
returns uuid
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_batch_id uuid;
  v_limit int := (select o.batch_rows_per_day from referral.organisations as o where o.id = p_org_id);
begin
  perform referral_private.require_read_committed();
  if not pg_try_advisory_xact_lock(hashtextextended('referral.batch:' || p_org_id, 0)) then
    perform referral_private.raise_error('busy', 'another batch of the organisation is under way');
  end if;
  if not referral_private.is_operator() and p_rows + (
    select coalesce(sum(b.asked), 0) from referral_private.code_batches as b
    where b.org_id = p_org_id and b.asked_by is not null and b.asked_at > clock_timestamp() - 24 * interval '1 hour'
  ) > v_limit then
    perform referral_private.raise_error(
      'rate_limited', v_limit || ' rows of batches in 24 hours; the operator can raise batch_rows_per_day'
    );
  end if;
  insert into referral_private.code_batches (org_id, asked, asked_by)
  values (p_org_id, p_rows, auth.uid())
  returning batch_id into v_batch_id;
  return v_batch_id;
end
$$;
