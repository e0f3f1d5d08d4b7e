-- Payers that wait are settled piece by piece, each in a transaction of its own.

-- Settles these payers that waited, those that are sales by their payers too, and returns how many could be settled.
-- One that cannot be, because of an error that does not pass, waits on with it, and stops no other. All wait on if time
-- runs out.
create function referral_private.settle_each(
  p_stripe_account text,
  p_livemode boolean,
  p_ids text[],
  p_cause text,
  p_tries int
)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count constant int := cardinality(p_ids);
  v_error text;
  v_sold referral_private.sales[] := array(
    select s from referral_private.sales as s
    where s.sale_id = any (p_ids) and s.stripe_account = p_stripe_account and s.livemode = p_livemode
  );
begin
  begin
    perform referral_private.settle_at_once(
      p_stripe_account, p_livemode, p_ids || array(select s.payer_id from unnest(v_sold) as s),
      array(select unnest(p_ids) except select s.sale_id from unnest(v_sold) as s),
      array[(null, p_cause)::referral_private.cause], false
    );
    return v_count;
  exception
    when query_canceled or others then
      v_error := sqlstate;
      if v_error <> '57014' and referral_private.is_passing_error(v_error) then
        raise;
      end if;
      raise warning 'referral: % payers wait: %: %', v_count, v_error, sqlerrm;
  end;
  if v_count = 1 or v_error = '57014' then
    insert into referral_private.to_settle (stripe_account, livemode, payer_id, caused_by, tries, error)
    select p_stripe_account, p_livemode, id, p_cause, least(p_tries + (v_error = '57014')::int, 4),
      case when v_error <> '57014' or p_tries >= 3 then v_error end
    from unnest(p_ids) as id
    on conflict on constraint to_settle_pkey do update
    set error = excluded.error, tries = excluded.tries, tried_at = excluded.tried_at;
    return 0;
  end if;
  return referral_private.settle_each(p_stripe_account, p_livemode, p_ids[:v_count / 2], p_cause, p_tries)
    + referral_private.settle_each(p_stripe_account, p_livemode, p_ids[v_count / 2 + 1:], p_cause, p_tries);
end
$$;

-- The payers of a Stripe account that have waited longest, of those that were tried so often.
create function referral_private.longest_waiting(p_stripe_account text, p_retry boolean, p_tries int, p_max_rows int)
returns setof referral_private.to_settle
language plpgsql
stable
rows 100
security invoker
set search_path = pg_catalog, pg_temp
-- In the order of the index, however many wait.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return query
  select q.* from referral_private.to_settle as q
  where q.stripe_account = p_stripe_account and (p_retry or q.error is null) and q.tries = p_tries
  order by q.tried_at, q.payer_id, q.livemode
  limit p_max_rows;
end
$$;

-- Settles those that have waited longest, on an account whose lock is held. At least one payer is settled, and not many
-- sales together; those that failed before, where that is asked for. Returns how many were settled.
create function referral_private.settle_waiting(p_stripe_account text, p_retry boolean)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_tries constant int := (
    select q.tries from referral_private.to_settle as q
    where q.stripe_account = p_stripe_account and (p_retry or q.error is null)
    order by q.tries
    limit 1
  );
  v_max constant int := greatest(referral_private.settled_at_once() >> (3 * v_tries), 1);
  v_piece record;
  v_settled int := 0;
begin
  for v_piece in
    with
      oldest as materialized (
        select * from referral_private.longest_waiting(p_stripe_account, p_retry, v_tries, v_max)
      ),
      counted as (
        select o.*, sold.sales, sum(sold.sales) over (order by o.tried_at, o.payer_id, o.livemode) as sum
        from oldest as o
        cross join lateral (
          select count(*) as sales from referral_private.sales as s
          where s.payer_id = o.payer_id and s.stripe_account = o.stripe_account and s.livemode = o.livemode
        ) as sold
      ),
      taken as (
        delete from referral_private.to_settle as q
        using counted as c
        where q.payer_id = c.payer_id and q.stripe_account = c.stripe_account and q.livemode = c.livemode
          and c.sum - c.sales < v_max
        returning q.livemode, q.payer_id, q.caused_by
      )
    select t.livemode, array_agg(t.payer_id) as ids, min(t.caused_by) as caused_by
    from taken as t
    group by t.livemode
  loop
    v_settled := v_settled + referral_private.settle_each(
      p_stripe_account, v_piece.livemode, v_piece.ids, v_piece.caused_by, v_tries
    );
  end loop;
  return v_settled;
end
$$;
