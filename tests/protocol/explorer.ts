/**
 * A small model checker. It goes through every state that a model can reach, whatever happens in whatever order, and checks
 * each. It goes breadth first: the way to the first broken promise is a shortest one.
 */

export type Happening<State> = { step: string; state: State }

export type Model<State> = {
  start: State
  /** Every step that can be taken next. */
  steps(state: State): Iterable<Happening<State>>
  /** Every failure that can happen next. Nobody may rely on one: the end must be in reach without. */
  failures(state: State): Iterable<Happening<State>>
  /** States with the same key are the same state. */
  key(state: State): string
  isEnd(state: State): boolean
  /** The promise that does not hold in this state, if any. */
  broken(state: State): string | undefined
}

/** How many states there are; the first broken promise, and the steps that lead to it. */
export type Explored = { states: number; broken?: string; way: string[] }

export function explore<State>(model: Model<State>): Explored {
  const numbers = new Map([[model.key(model.start), 0]])
  /** How each state was reached first: from which one, and by which step. */
  const reached = [{ from: -1, step: 'start' }]
  /** For each state, those that lead to it by a step that is no failure. */
  const before: number[][] = [[]]
  const ends: number[] = []
  let level = [{ number: 0, state: model.start }]
  let following: typeof level = []

  const numberOf = (from: number, { step, state }: Happening<State>) => {
    const key = model.key(state)
    const known = numbers.get(key)
    if (known !== undefined) return known
    const number = reached.push({ from, step }) - 1
    numbers.set(key, number)
    before.push([])
    following.push({ number, state })
    return number
  }
  const wayTo = (number: number, broken: string): Explored => {
    const way: string[] = []
    for (let at = reached[number]; at && at.from >= 0; at = reached[at.from]) way.unshift(at.step)
    return { states: reached.length, broken, way }
  }

  while (level.length > 0) {
    for (const { number, state } of level) {
      const broken = model.broken(state)
      if (broken) return wayTo(number, broken)
      const steps = [...model.steps(state)]
      if (model.isEnd(state)) ends.push(number)
      else if (steps.length === 0) return wayTo(number, 'deadlock: nobody can go on')
      for (const next of steps) before[numberOf(number, next)]?.push(number)
      for (const next of model.failures(state)) numberOf(number, next)
    }
    level = following
    following = []
  }
  const endless = firstWithoutEnd(before, ends)
  if (endless !== undefined) return wayTo(endless, 'the end is out of reach')
  return { states: reached.length, way: [] }
}

/** The first state from which no end can be reached: from there on, the same happens again and again. */
function firstWithoutEnd(before: number[][], ends: number[]): number | undefined {
  const canEnd = new Uint8Array(before.length)
  const open = [...ends]
  for (let number = open.pop(); number !== undefined; number = open.pop()) {
    if (canEnd[number]) continue
    canEnd[number] = 1
    open.push(...(before[number] ?? []))
  }
  const first = canEnd.indexOf(0)
  return first < 0 ? undefined : first
}
