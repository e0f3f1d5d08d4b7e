import fc from 'fast-check'

/**
 * Orders of a story's events: as they happened, the other way round, and random ones, in which some events come twice.
 * Where there are no more orders than asked for, all of them, and some random ones for what comes twice.
 */
export function inOrders<Event>(events: Event[], count: number, seed: number): Event[][] {
  const all = permutationsUpTo(events, count)
  const order = fc
    .tuple(fc.shuffledSubarray(events, { minLength: events.length }), fc.subarray(events))
    .chain(([once, again]) =>
      fc.shuffledSubarray([...once, ...again], { minLength: once.length + again.length }),
    )
  const random = fc.sample(order, { numRuns: all ? Math.ceil(count / 12) : count, seed })
  return [...(all ?? [events, events.toReversed()]), ...random]
}

/** Every order, or null where there are more than so many. */
function permutationsUpTo<Event>(events: Event[], most: number): Event[][] | null {
  let total = 1
  for (let n = 2; n <= events.length; n++) total *= n
  return total > most ? null : permutations(events)
}

function permutations<Event>(events: Event[]): Event[][] {
  if (events.length < 2) return [events]
  return events.flatMap((first, i) =>
    permutations(events.toSpliced(i, 1)).map((rest) => [first, ...rest]),
  )
}
