-- Payers that wait are settled piece by piece, each in a transaction of its own.

-- Settles those that have waited longest, on an account whose lock is held. At least one payer is settled, and not many
-- sales together. Returns how many waited.
create function referral_private.settle_waiting(p_stripe_account text)
returns int
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_max constant int := referral_private.settled_at_once();
  v_piece record;
  v_settled int := 0;
begin
  for v_piece in
    with
      oldest as materialized (
        select q.* from referral_private.to_settle as q
        where q.stripe_account = p_stripe_account
        order by q.queued_at, q.payer_id
        limit v_max
      ),
      counted as (
        select o.*, sold.sales, sum(sold.sales) over (order by o.queued_at, o.payer_id) as sum
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
    perform referral_private.settle_at_once(
      p_stripe_account, v_piece.livemode, v_piece.ids || array(
        select s.payer_id from referral_private.sales as s
        where s.sale_id = any (v_piece.ids) and s.stripe_account = p_stripe_account
          and s.livemode = v_piece.livemode
      ), array(
        select unnest(v_piece.ids)
        except
        select s.sale_id from referral_private.sales as s
        where s.sale_id = any (v_piece.ids) and s.stripe_account = p_stripe_account
          and s.livemode = v_piece.livemode
      ), array[(null, v_piece.caused_by)::referral_private.cause], false
    );
    v_settled := v_settled + cardinality(v_piece.ids);
  end loop;
  return v_settled;
end
$$;
