/** How redemptions stand. */
import { sum } from './arithmetic.ts'
import { decidedOn } from './decisions.ts'
import type { Won } from './winners.ts'
import { day, type Redemption, type World } from './world.ts'

/** By redemption. A decision of staff stands; else the sales that it won speak, in test mode and in live mode. */
export function statusesOf(world: World, won: Won[]): Map<string, string> {
  const byRedemption = Map.groupBy(won, ({ evidence }) => evidence.redemption?.id)
  return new Map(
    world.redemptions.map((redemption) => {
      const decided = decidedOn(world.decisions, redemption)
      const sales = (byRedemption.get(redemption.id) ?? []).map(({ sale }) => sale)
      if (decided !== null) return [redemption.id, decided]
      if (sales.length === 0) return [redemption.id, unused(redemption, world)]
      const left = sum(sales.map(({ paid, reversed }) => paid - reversed))
      return [redemption.id, left === 0n ? 'reversed' : 'confirmed']
    }),
  )
}

/** A job marks as expired what was not used in its window; until it runs, that is pending. */
function unused(redemption: Redemption, { now, terms }: World): string {
  const agreed = terms.find(
    ({ program, version }) => program === redemption.program && version === redemption.version,
  )
  const window = (agreed?.terms.conversion_window_days ?? 0) * day
  const canExpire = redemption.redeemedAt + window < now
  return canExpire && redemption.status === 'expired' ? 'expired' : 'pending'
}
