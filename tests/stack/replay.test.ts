/** `npm run replay`, on a database in which every story was told, records and decisions among them. */
import { expect, inject, test } from 'vitest'
import { operator } from '../support/actors.ts'
import { testDatabase } from '../support/database.ts'
import { ending, stageStory, stories } from '../support/money.ts'
import { start } from '../support/processes.ts'

const [source, target, other] = [await testDatabase(), await testDatabase(), await testDatabase()]
const url = async (sql: typeof source) => {
  const [row] = await sql`select current_database() as name`
  return inject('servers').postgres.replace('DATABASE', String(row?.name))
}

test('facts and ledger are made anew from what is not derived, and equal the original', async () => {
  for (const story of stories) {
    const staged = await stageStory(source, story)
    for (const event of staged.events) await operator(source).rpc('ingest_stripe_event', { event })
    await operator(source).rpc('record_payment', {
      org_id: staged.org,
      provider: 'play',
      payment_ref: '1',
      referee_id: staged.friend.id,
      amount: 5000,
      currency: 'usd',
      paid_at: new Date(Date.now() - 86_400_000).toISOString(),
    })
    await ending(source, staged)
  }
  const [decided] = await source`select id from referral.redemptions limit 1`
  await operator(source).rpc('reject_redemption', { redemption_id: decided?.id })
  const replayInto = async (sql: typeof source) =>
    start('replay.ts', [await url(source), await url(sql)]).ended
  expect(await replayInto(target)).toEqual({
    code: 0,
    stdout: expect.stringMatching(
      new RegExp(`^\\d+ events and ${stories.length} records replayed, 0 differences\\n$`),
    ),
    stderr: '',
  })

  await source`update referral_private.postings set amount = amount + 1 where amount = 375`
  expect(await replayInto(other)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('only in the source'),
  })
  expect(await replayInto(target)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('The target is not empty.'),
  })
}, 120_000)
