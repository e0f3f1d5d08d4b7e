import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Actor, operator, person, refusal } from '../support/actors.ts'
import { type Sql, testDatabase, undone } from '../support/database.ts'
import { scene } from '../support/scene.ts'
import { allowed, type Command, createModel, type Outcome } from './model.ts'

const sql = await testDatabase()
const runs = Number(process.env.MODEL_RUNS ?? 60)
const seed = Number(process.env.MODEL_SEED ?? Date.now() % 2 ** 31)

const who = fc.nat({ max: 3 })
const referrer = fc.nat({ max: 2 })
const org = fc.nat({ max: 1 })
const code = fc.nat({ max: 15 })
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('create' as const),
      who: referrer,
      org,
      maxUses: fc.option(fc.integer({ min: 1, max: 2 })),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('rotate' as const),
      who: referrer,
      org,
      grace: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('deactivate' as const), who: referrer, org }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'suspend' as const,
        'reactivate' as const,
        'end' as const,
        'pass' as const,
      ),
      code,
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('redeem' as const), who, code }) },
)

/** Three referrers in two organisations, and a friend: the same commands on the database. */
async function createWorld(tx: Sql) {
  const people = Array.from({ length: 4 }, () => person(tx))
  const orgs: { id: string; coordinator: Actor }[] = []
  for (let i = 0; i < 2; i++) {
    const { org: id, admin, coordinator } = await scene(tx)
    await admin.rpc('update_organisation', { org_id: id, changes: allowed })
    for (const member of people.slice(0, 3))
      await coordinator.rpc('add_member', { org_id: id, user_id: member.id })
    orgs.push({ id, coordinator })
  }
  const codes: { id: string; code: string; org: number }[] = []

  const attempt = async (
    call: Promise<Record<string, unknown>[]>,
    adds?: number,
  ): Promise<Outcome> => {
    try {
      const [row] = await call
      if (adds !== undefined)
        codes.push({ id: String(row?.id), code: String(row?.code), org: adds })
      return 'ok'
    } catch (error) {
      return refusal(Promise.reject(error))
    }
  }

  async function run(step: Command): Promise<Outcome> {
    if (step.kind === 'create' || step.kind === 'rotate' || step.kind === 'deactivate') {
      const { id, coordinator } = orgs[step.org] as (typeof orgs)[number]
      const member = people[step.who] as Actor
      const args = { org_id: id, referrer_id: member.id }
      if (step.kind === 'deactivate') return attempt(member.rpc('deactivate_code', args))
      if (step.kind === 'rotate')
        return attempt(
          member.rpc('rotate_code', { ...args, grace: step.grace ? '1 day' : null }),
          step.org,
        )
      return attempt(coordinator.rpc('create_code', { ...args, max_uses: step.maxUses }), step.org)
    }
    const chosen = codes[step.code]
    if (!chosen) return 'ok'
    if (step.kind === 'redeem')
      return attempt((people[step.who] as Actor).rpc('redeem_code', { code: chosen.code }))
    if (step.kind === 'pass') {
      await tx`update referral.codes set expires_at = clock_timestamp() where id = ${chosen.id} and status in ('active', 'suspended')`
      await tx`update referral.codes set redeemable_until = clock_timestamp() where id = ${chosen.id} and redeemable_until > clock_timestamp()`
      return 'ok'
    }
    const { coordinator } = orgs[chosen.org] as (typeof orgs)[number]
    return attempt(coordinator.rpc(`${step.kind}_code`, { code_id: chosen.id }))
  }

  return {
    run,
    codes: async () =>
      Promise.all(
        codes.map(async ({ id, code: text }) => {
          const [found] = await operator(tx).rpc('find_code', { code: text })
          const [quota] = await tx`
            select q.used from referral.codes as c left join referral.code_quotas as q on q.org_id = c.org_id and q.quota_id = c.quota_id where c.id = ${id}`
          return { status: found?.status, used: quota?.used }
        }),
      ),
    redemptions: async () => {
      const [row] =
        await tx`select count(*)::int from referral.redemptions where org_id = any (${orgs.map(({ id }) => id)})`
      return row?.count
    },
  }
}

test(`the life of codes is what the model says, command by command (seed ${seed})`, {
  timeout: 3_600_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 50, maxLength: 60 }), (commands) =>
      undone(sql, async (tx) => {
        const [model, world] = [createModel(), await createWorld(tx)]
        for (const step of commands) {
          const [expected, outcome] = [model.run(step), await world.run(step)]
          expect(outcome, JSON.stringify(step)).toBe(expected)
        }
        expect(await world.codes()).toEqual(model.codes())
        expect(await world.redemptions()).toBe(model.redemptions())
      }),
    ),
    { numRuns: runs, seed },
  )
})
