/** All that happens in a mixed world, as steps that may come in any order, each once or again. */
import { eventsOf } from '../fixtures/mixed-events.ts'
import { percent } from '../fixtures/mixed-terms.ts'
import type { World } from '../fixtures/mixed-world.ts'
import { operator, patiently, refusal } from './actors.ts'
import { deliver, reduced } from './ingest.ts'
import type { Staged } from './mixed-stage.ts'

export type Step = () => Promise<unknown>

/** Whether the ending depends on when staff decided: a rejection writes down whom the referral has then. */
export const isTimed = ({ rejections, verdicts }: World) =>
  rejections !== null || verdicts.includes('reject_redemption')

/** Each step once; a step can be taken again, and then changes nothing. */
export async function stepsOf(staged: Staged, of: World): Promise<Step[]> {
  const events = await Promise.all(eventsOf(of, staged.company).map(reduced))
  const [own] = staged.scenes
  return [
    ...events.map((event) => async () => {
      // Nobody can name a redemption before it is made.
      const text = JSON.stringify(event)
      for (const n of of.redeems)
        if (text.includes(staged.company.redemptions[n] ?? '')) await redeems(staged, n)()
      await deliver(staged.sql, event)
    }),
    ...of.redeems.map((n) => redeems(staged, n)),
    ...decisionsOf(staged, of),
    ...recordsOf(staged, of),
    ...(of.changesTerms
      ? [
          () =>
            own.admin.rpc('update_program', {
              program_id: own.program,
              changes: { terms: { ...percent, commission: { kind: 'percent', bps: 3000 } } },
            }),
        ]
      : []),
  ]
}

/** Somebody redeems the first code of an organisation, which may be for new users only. */
const redeems =
  ({ redeemers, company }: Staged, n: number): Step =>
  async () => {
    const { by, code } = redeemers[n] as Staged['redeemers'][0]
    await unless('new_users_only', () => by.rpc('redeem_code', { code: company.codes[code] }))
  }

type Forfeit = Pick<World['forfeits'][number], 'code' | 'since' | 'lasts'>

function decisionsOf(staged: Staged, of: World): Step[] {
  const { scenes, codes, company } = staged
  const [own] = scenes
  const iso = (days: number) =>
    new Date((company.now + Math.round(days * 86_400)) * 1000).toISOString()
  const forfeit = ({ code, since, lasts }: Forfeit, isMember = false) => {
    const { id, owner, scene } = codes[code] as Staged['codes'][0]
    const { org, admin } = scenes[scene]
    const until = lasts === undefined ? {} : { until: iso(since + lasts + 1) }
    const subject = isMember ? { member_id: owner } : { code_id: id }
    return admin.rpc('forfeit_from', { org_id: org, ...subject, since: iso(since), ...until })
  }
  const { rejections } = of
  return [
    ...of.verdicts.map((verdict) => async () => {
      await redeems(staged, 0)()
      await unlessRejected(() => own.admin.rpc(verdict, { redemption_id: company.redemptions[0] }))
    }),
    ...of.forfeits.map((decision) => () => patiently(() => forfeit(decision, decision.isMember))),
    ...of.withdrawn.map((decision) => async () => {
      const [made] = await patiently(() => forfeit({ ...decision, lasts: undefined }))
      const { admin } = scenes[(codes[decision.code] as Staged['codes'][0]).scene]
      await patiently(() => admin.rpc('withdraw_decision', { decision_id: made?.id }))
    }),
    ...(rejections
      ? [
          () => {
            const { org, program, admin } = scenes[rejections.org as 0 | 1]
            const { who } = rejections
            const subject =
              typeof who === 'number'
                ? { person_id: company.users[who] }
                : { payer_id: who.replace('_', `_${company.tag}`) }
            return patiently(() =>
              admin.rpc('reject_referral', { org_id: org, program_id: program, ...subject }),
            )
          },
        ]
      : []),
  ]
}

/** A redemption that was rejected is not confirmed any more. */
const unlessRejected = (decide: () => Promise<unknown>) => unless('redemption_rejected', decide)

/** Makes a call, which may be refused for this reason. */
async function unless(reason: string, call: () => Promise<unknown>): Promise<void> {
  try {
    await patiently(call)
  } catch (error) {
    if ((await refusal(Promise.reject(error))) !== reason) throw error
  }
}

function recordsOf({ sql, scenes, company }: Staged, of: World): Step[] {
  const op = operator(sql)
  const mode = (livemode: boolean) => (livemode ? {} : { options: { livemode } })
  const record = (name: string, org: number, rest: Record<string, unknown>) => () =>
    patiently(() =>
      op.rpc(name, { org_id: scenes[org as 0 | 1].org, provider: 'app_store', ...rest }),
    )
  return [
    ...of.records.map(({ days, livemode, org, user, amount }, n) =>
      record('record_payment', org, {
        payment_ref: `P${n}`,
        referee_id: company.users[user],
        amount,
        currency: 'usd',
        paid_at: new Date((company.now + days * 86_400) * 1000).toISOString(),
        ...mode(livemode),
      }),
    ),
    ...of.recordedRefunds.flatMap(({ payment, amount, fails }, n) => {
      const { org = 0, livemode = true } = of.records[payment] ?? {}
      const refund = { refund_ref: `R${n}`, ...mode(livemode) }
      return [
        record('record_refund', org, { ...refund, payment_ref: `P${payment}`, amount }),
        ...(fails ? [record('record_refund_reversed', org, refund)] : []),
      ]
    }),
  ]
}
