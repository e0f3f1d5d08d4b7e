/** R5: an event that cannot be applied is parked with its transaction, and alone. No other error parks. */
import { insert, rollback } from '../postgres.ts'
import { firstStep, isUnappliable, settle } from '../protocol.ts'
import { type Mutation, only, take } from './mutation.ts'

const scenario = { deliveries: 'ABX', redemptions: 0, failures: 0 }
const hasUnappliable = (events: string) => [...events].some(isUnappliable)
const applicable = (events: string) => only(events, (event) => !isUnappliable(event))

const ofData: Omit<Mutation, 'rule' | 'scenario'>[] = [
  {
    change: 'an event that cannot be applied undoes the transaction',
    breaks: /^the end is out of reach/,
    steps: {
      'state and settle': (world, me) => {
        if (!hasUnappliable(me.batch)) return take('state and settle', world, me)
        rollback(world, me)
        return me.isAnswered ? 'begin, look whether it is queued' : firstStep[me.kind]
      },
    },
  },
  {
    change: 'the batch is parked with the event that cannot be applied',
    breaks: /is parked, and could be applied/,
    steps: {
      'state and settle': (world, me) => {
        if (!hasUnappliable(me.batch)) return take('state and settle', world, me)
        insert(me, 'parked', me.batch)
        return 'delete what was read, commit'
      },
    },
  },
  {
    change: 'an event that cannot be applied is left out, to be parked by another transaction',
    breaks: /is stored, and neither applied nor queued nor parked/,
    steps: {
      'state and settle': (world, me) => {
        insert(me, 'facts', applicable(me.batch))
        settle(world, me)
        return 'delete what was read, commit'
      },
    },
  },
  {
    change: 'what was parked stays queued',
    breaks: /is done, and queued/,
    steps: {
      'delete what was read, commit': (world, me) => {
        me.batch = applicable(me.batch)
        return take('delete what was read, commit', world, me)
      },
    },
  },
]

const ofTheMoment: Omit<Mutation, 'rule' | 'scenario'>[] = [
  {
    change: 'an error of the moment parks too',
    breaks: /is parked, and could be applied/,
    steps: {
      'an error of the moment': (_, me) => {
        insert(me, 'parked', me.batch)
        return 'delete what was read, commit'
      },
    },
  },
  {
    change: 'after an error of the moment the new event is not queued',
    breaks: /is stored, and neither applied nor queued nor parked/,
    steps: {
      'an error of the moment': (world, me) => {
        me.batch = ''
        return take('delete what was read, commit', world, me)
      },
    },
  },
]

export const parking: Mutation[] = [
  ...ofData.map((it) => ({ rule: 'R5', scenario, ...it })),
  ...ofTheMoment.map((it) => ({ rule: 'R5', scenario: { ...scenario, failures: 1 }, ...it })),
]
