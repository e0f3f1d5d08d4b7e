/** A world that was told by hand, in the database: who there is at first, and what happens, as steps in any order. */
import type { Decision, Redemption, Time, World } from '../oracle/world.ts'
import type { Sql } from './database.ts'
import { ingestReduced } from './ingest.ts'

export type Step = () => Promise<unknown>

/** Organisations, programs, terms, people and codes, dated as told. No trigger dates them anew. */
export async function stageWorld(sql: Sql, world: World): Promise<void> {
  const { organisations, terms, switches, codes, codeStates, members, knownUsers } = world
  const programs = new Map(codes.map(({ org, program }) => [program, org]))
  const until = (of: string, after: number) =>
    terms.find(({ program, version }) => program === of && version === after + 1)?.from ?? null
  const insert = async (table: string, rows: object[]) => {
    if (rows.length) await sql`insert into ${sql(table)} ${sql(rows)}`
  }
  await insert(
    'referral.organisations',
    organisations.map(({ id, stripeAccount, accountSince }) => ({
      ...{ id, slug: `org-${id}`, name: 'Organisation', stripe_account_since: time(accountSince) },
      stripe_account_id: stripeAccount || null,
    })),
  )
  await insert(
    'referral.programs',
    [...programs].map(([id, org_id]) => ({ id, org_id, key: `program-${id}`, name: 'Program' })),
  )
  await insert(
    'referral.program_terms',
    terms.map(({ program, version, terms, from }) => ({
      ...{ org_id: programs.get(program) ?? null, program_id: program, version },
      ...{
        terms: sql.json(terms as never),
        valid_from: time(from),
        valid_to: time(until(program, version)),
      },
    })),
  )
  await insert(
    'referral_private.switches',
    switches.map(({ org, program, active, since }) => ({
      ...{ org_id: org, program_id: program, active, since: time(since) },
    })),
  )
  await insert(
    'referral.members',
    organisations.flatMap(({ id }) => members.map((user_id) => ({ org_id: id, user_id }))),
  )
  await insert(
    'auth.users',
    knownUsers.map(({ id, signedUpAt }) => ({ id, created_at: time(signedUpAt) })),
  )
  await sql`alter table referral.codes disable trigger user`
  await insert(
    'referral.codes',
    codes.map((code) =>
      rowOf(
        code,
        codeStates.findLast((state) => state.code === code.id),
      ),
    ),
  )
  await sql.unsafe(
    'set constraints all immediate; alter table referral.codes enable trigger user, enable always trigger codes_keep_what_they_are',
  )
  const orgs = new Map(codes.map(({ id, org }) => [id, org]))
  await insert(
    'referral_private.code_states',
    codeStates.map(({ code, status, expiresAt, redeemableUntil, since }) => ({
      ...{ org_id: orgs.get(code) ?? null, code_id: uuid(code), status, since: time(since) },
      ...{ expires_at: time(expiresAt), redeemable_until: time(redeemableUntil) },
    })),
  )
}

/** A code as it is in its last state. Where it was rotated, no code that took its place is told. */
function rowOf(code: World['codes'][0], state: World['codeStates'][0] | undefined) {
  const { status = 'active', expiresAt = null, redeemableUntil = null, since } = state ?? {}
  const hasEnded = ['rotated', 'invalidated', 'expired'].includes(status)
  const isFirst = code.chain === code.id
  return {
    ...{ id: uuid(code.id), org_id: code.org, program_id: code.program, code: code.code },
    ...{ referrer_id: code.referrer, beneficiary_id: code.beneficiary, created_by: code.creator },
    ...{ chain_id: isFirst ? null : uuid(code.chain), rotation: isFirst ? 0 : 1 },
    ...{ status, expires_at: time(expiresAt), redeemable_until: time(redeemableUntil) },
    replaced_by: status === 'rotated' ? uuid(code.id) : null,
    ended_at: hasEnded && since !== undefined ? time(since) : null,
    created_at: time(code.createdAt),
  }
}

/** What is delivered, redeemed and decided: each once. A step can be taken again, and then changes nothing. */
export function stepsOf(sql: Sql, world: World): Step[] {
  const { events, redemptions, decisions } = world
  return [
    ...events.map((event) => () => deliver(sql, event)),
    ...redemptions.map((redemption) => () => redeem(sql, redemption)),
    ...decisions.map((decision) => async () => {
      const on = redemptions.find(({ id }) => id === decision.redemption)
      if (on) await redeem(sql, on)
      await decide(sql, { ...decision, person: decision.person ?? on?.referee ?? null })
    }),
  ]
}

/** No told event is parked or ignored. */
async function deliver(sql: Sql, event: World['events'][0]): Promise<void> {
  const status = await ingestReduced(sql, event)
  if (!['applied', 'duplicate'].includes(status)) throw new Error(`${event.type} was ${status}`)
}

/** Settles as `redeem_code` does, which would date the redemption now. */
async function redeem(sql: Sql, told: Redemption): Promise<void> {
  const { id, org, program, version, code, referrer, referee, redeemedAt } = told
  const row = {
    ...{ id, org_id: org, program_id: program, terms_version: version, code_id: uuid(code) },
    ...{ referrer_id: referrer, referee_id: referee, redeemed_at: time(redeemedAt) },
  }
  await sql`insert into referral.redemptions ${sql(row)} on conflict do nothing`
  await sql`
    select referral_private.settle_redemption(referral_private.stripe_account_of(r.org_id), r)
    from referral.redemptions as r where r.id = ${id}`
}

/** Settles as the commands of staff do, which would write down other payers. */
async function decide(sql: Sql, told: Decision): Promise<void> {
  const { id, org, kind, program, person, redemption, member, chain, since, until, payers } = told
  const row = {
    ...{ id, org_id: org, kind, program_id: program, person_id: person, redemption_id: redemption },
    ...{ member_id: member, chain_id: chain === null ? null : uuid(chain) },
    ...{ since: time(since), until: time(until) },
  }
  await sql`insert into referral.decisions ${sql(row)} on conflict do nothing`
  for (const { stripeAccount, livemode, payer } of payers)
    await sql`
      insert into referral_private.decision_payers (org_id, decision_id, stripe_account, livemode, payer_id)
      values (${org}, ${id}, ${stripeAccount}, ${livemode}, ${payer}) on conflict do nothing`
  await sql`
    select referral_private.settle_decision(referral_private.stripe_account_of(d.org_id), d)
    from referral.decisions as d where d.id = ${id}`
}

/** A told id as a UUID. The order of ids stays. */
const uuid = (id: string) =>
  /^[0-9a-f]{8}-/.test(id)
    ? id
    : `00000000-0000-4000-8001-${Buffer.from(id.slice(0, 6).padEnd(6, '_')).toString('hex')}`

const time = (at: Time | null) => (at === null ? null : new Date(at / 1000))
