/** What the shapes of Stripe's objects are made of. */
import { describe, expect, test } from 'vitest'
import * as shapes from '../../functions/stripe-webhook/shape.ts'

const {
  checked,
  either,
  integer,
  list,
  maybe,
  object,
  oneOf,
  optional,
  orElse,
  orNull,
  read,
  text,
} = shapes
const id = text(/^[a-z_0-9]+$/)
const whole = object({ id, amount: integer(0), status: maybe(oneOf('paid', 'open')) })

describe('a shape', () => {
  test.for([
    [
      'drops what it does not name',
      whole,
      { id: 'a', amount: 1, name: 'Olivia' },
      { id: 'a', amount: 1 },
    ],
    [
      'keeps null where there may be none',
      whole,
      { id: 'a', amount: 0, status: null },
      { id: 'a', amount: 0, status: null },
    ],
    ['keeps each item of a list', list(id), ['a', 'b'], ['a', 'b']],
    ['takes the first of two that fits', either(id, object({ id })), { id: 'a' }, { id: 'a' }],
    ['takes another value in place of a fault', orElse(id, null), 'A b', null],
    ['keeps null beside a value', orNull(id), null, null],
    ['may be absent', optional(id), undefined, undefined],
  ] as [string, shapes.Shape<unknown>, unknown, unknown][])('%s', ([, shape, value, data]) => {
    const kept = read(shape, value)
    expect(kept.faults).toBeUndefined()
    expect(kept.data).toEqual(data)
  })

  test.for([
    ['another form', id, 'A', ['']],
    ['a line break at the end', id, 'a\n', ['']],
    ['a number as text', integer(), '1', ['']],
    ['a fraction', integer(), 1.5, ['']],
    ['a number that JSON does not have exactly', integer(), 2 ** 53, ['']],
    ['less than the least', integer(0), -1, ['']],
    ['another word', oneOf('paid'), 'toString', ['']],
    ['null where a value must be', optional(id), null, ['']],
    ['nothing where null may be', orNull(id), undefined, ['']],
    ['a list for an object', whole, [], ['']],
    ['an object for a list', list(id), { 0: 'a' }, ['']],
    ['two fields that are not as known', whole, { id: 1, amount: '1' }, ['id', 'amount']],
    [
      'an item',
      object({ refunds: list(whole) }),
      { refunds: [{ id: 'a', amount: 'x' }] },
      ['refunds.0.amount'],
    ],
    ['what fits neither of two', object({ id: either(id, whole) }), { id: {} }, ['id']],
    ['what is checked beside', checked(whole, () => ['id']), { id: 'a', amount: 1 }, ['id']],
    [
      'what is checked beside, but not after a fault',
      checked(whole, () => ['id']),
      { id: 'a' },
      ['amount'],
    ],
  ] as [string, shapes.Shape<unknown>, unknown, string[]][])(
    'names the place of %s',
    ([, shape, value, faults]) => {
      expect(read(shape, value)).toEqual({ faults })
    },
  )
})
