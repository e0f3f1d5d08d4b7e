/** `npm run parked`, over HTTP: what this version cannot read stays, and is named. */
import { expect, inject, test } from 'vitest'
import { deliver } from '../../scripts/demo/stripe.ts'
import { paidInvoice } from '../fixtures/stripe/invoice-paid.ts'
import { start } from '../support/processes.ts'

test('lists what is parked, and leaves what it cannot read', async () => {
  const stack = inject('stack')
  const event = { ...paidInvoice(), api_version: '2031-01-01.future' }
  expect(await deliver(stack, JSON.stringify(event))).toMatchObject({ status: 'parked' })
  const { code, stdout, stderr } = await start('parked.ts', [], {
    env: { ...process.env, ...stack },
  }).ended
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toContain(`${event.id} invoice.paid still parked: version 2031-01-01.future`)
})

test('says what it needs', async () => {
  const { code, stderr } = await start('parked.ts', [], { env: { PATH: process.env.PATH } }).ended
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: 'Set SUPABASE_URL and SUPABASE_SECRET_KEY in the environment.\n',
  })
})
