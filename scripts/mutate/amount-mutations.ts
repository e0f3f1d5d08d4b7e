import type { TextMutation } from './mutation.ts'

/** How much a sale earns: qualifying, ranks, limits, amounts, holds. */
export const amountMutations: TextMutation[] = [
  {
    name: 'amounts: what was reversed',
    in: 'reward_on',
    replace: 'p_price.paid - p_price.reversed',
    by: 'p_price.paid',
  },
  { name: 'amounts: half up', in: 'rounded_share', replace: '+ p_c', by: '' },
  {
    name: 'amounts: once',
    in: 'sales_judged',
    replace: `when o.is_once and w.ordinality > o.first then 'recurrence'`,
    by: '',
  },
  {
    name: 'amounts: months',
    in: 'offers_of',
    replace: "- interval '12 hours'",
    by: "+ interval '9 years'",
  },
  {
    name: 'amounts: the cap',
    in: 'targets_of',
    replace: 'when s.cap is null then s.uncapped',
    by: 'when true then s.uncapped',
  },
  {
    name: 'amounts: the most commissions',
    in: 'offers_of',
    replace: "then 'max_commissions'",
    by: 'then null',
  },
  {
    name: 'amounts: tiers',
    in: 'commission_of_rank',
    replace: "(t.tier ->> 'from')::int <= p_rank",
    by: 'true',
  },
  {
    name: 'amounts: others move in rank',
    in: 'settle_at_once',
    replace: 'exit when v_moved <@ v_payers;',
    by: 'exit;',
  },
  {
    name: 'amounts: a warning holds',
    in: 'sales_judged',
    replace: 'greatest(w.paid_at, w.warned_at)',
    by: 'w.paid_at',
  },
  {
    name: 'amounts: the tax',
    in: 'reward_on',
    replace: 'p_price.total > 0 and p_price.total_excluding_tax is not null',
    by: 'false',
  },
  {
    name: 'amounts: the minimum sale',
    in: 'winners_of',
    replace: "then 'minimum_sale'",
    by: 'then null',
  },
  {
    name: 'amounts: the hold',
    in: 'targets_of',
    replace: "when c.available_at <= p_now then 'available'",
    by: "when true then 'available'",
  },
  {
    name: 'forfeits: from before the first sale',
    in: 'fits',
    replace: 'when forfeit.is_early then',
    by: 'when false then',
  },
  {
    name: 'forfeits: stays the winner',
    in: 'fits',
    replace: 'when forfeit.is_early then',
    by: 'when forfeit.is_forfeited then',
  },
  {
    name: 'forfeits: earn nothing',
    in: 'sales_judged',
    replace: "when w.is_forfeited then 'forfeited'",
    by: '',
  },
  {
    name: 'guests: so many a day',
    in: 'sales_judged',
    replace: "then 'guest_limit'",
    by: 'then null',
  },
  {
    name: 'amounts: a flat amount above the sale',
    in: 'reward_on',
    replace: 'if p_is_above or v_amount * v_total <= p_price.paid * v_untaxed then',
    by: 'if true then',
  },
  {
    name: 'amounts: the friend’s reward gives way',
    in: 'referee_reward_on',
    replace: 'greatest(0, referral_private.net_without_tax(p_price) - p_commission)',
    by: 'v_reward',
  },
  {
    name: 'amounts: flat_above_sale',
    in: 'referee_reward_on',
    replace: 'if v_is_above then',
    by: 'if false then',
  },
  {
    name: 'amounts: places among what qualifies',
    in: 'offers_of',
    replace: 'filter (where w.refusal is null) as first',
    by: 'as first',
  },
  {
    name: 'amounts: the order of payment',
    in: 'name_sales',
    replace: 'order by n.paid_at, n.sale_id;',
    by: 'order by n.sale_at, n.sale_id;',
  },
  {
    name: 'amounts: rewards are held',
    in: 'targets_of',
    replace: "when c.available_at <= p_now then 'reward_available'",
    by: "when true then 'reward_available'",
    tests: ['tests/sql/ledger', 'tests/sql/verification'],
  },
  {
    name: 'guests: others move',
    in: 'guests_near_limits',
    replace: 'limit 2 * c.sales',
    by: 'limit 0',
  },
]
