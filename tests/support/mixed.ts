/** A mixed world, staged: its organisations and people, and all that happens in it as steps that may come in any order. */
import { type Company, eventsOf } from '../fixtures/mixed-events.ts'
import type { World } from '../fixtures/mixed-world.ts'
import { type Actor, operator, person } from './actors.ts'
import type { Sql } from './database.ts'
import { reduced } from './ingest.ts'
import { codeOf, scene } from './scene.ts'

export const percent = {
  commission: { kind: 'percent', bps: 1000 },
  enrolment: 'open',
  hold_days: 7,
}

export type Step = () => Promise<unknown>

/**
 * Two organisations on one account, the second one's code for somebody else's benefit; everything is older than the worlds,
 * and who redeems has done so at a fixed time.
 */
export async function stageCompany(tx: Sql) {
  const [own, rival] = [await scene(tx, percent), await scene(tx, percent)]
  const codes = [await codeOf(own.mentor, own.org), await codeOf(rival.mentor, rival.org)]
  const users = [person(tx), person(tx)]
  const redemptions = users.map(() => crypto.randomUUID())
  await tx.unsafe(`
    update referral.program_terms set valid_from = now() - interval '90 days';
    set constraints all immediate;
    alter table referral.codes disable trigger user;
    update referral.codes set created_at = now() - interval '90 days',
      beneficiary_id = case org_id when '${rival.org}' then '${person(tx).id}'::uuid end;
    alter table referral.codes enable trigger user;
    create function public.at_a_fixed_time() returns trigger language plpgsql as $$
    begin
      new.redeemed_at := date_trunc('day', now()) - case new.referee_id when '${users[0]?.id}' then interval '9 days' else interval '6 days' end;
      new.id := case new.referee_id when '${users[0]?.id}' then '${redemptions[0]}' else '${redemptions[1]}' end;
      new.terms_version := 1;
      return new;
    end $$;
    create trigger at_a_fixed_time before insert on referral.redemptions for each row execute function public.at_a_fixed_time()`)
  const company: Company = {
    users: users.map(({ id }) => id),
    redemptions,
    codes: codes.map(({ code }) => code),
    orgs: [own.org, rival.org],
    now: Math.floor(Date.now() / 1000),
  }
  return { tx, own, users, company }
}

/** Each step once; a step can be taken again, and then changes nothing. */
export async function stepsOf(
  { tx, own, users, company }: Awaited<ReturnType<typeof stageCompany>>,
  of: World,
): Promise<Step[]> {
  const op = operator(tx)
  const redeem =
    (n: number): Step =>
    () =>
      (users[n] as Actor).rpc('redeem_code', { code: company.codes[n] })
  const record = { org_id: own.org, provider: 'app_store' }
  const events = await Promise.all(eventsOf(of, company).map(reduced))
  return [
    ...events.map((event) => () => op.rpc('ingest_stripe_event', { event })),
    ...of.redeems.map(redeem),
    ...of.decisions.map((decision) => async () => {
      await redeem(0)()
      await own.admin.rpc(decision, { redemption_id: company.redemptions[0] })
    }),
    ...of.records.map(({ days, user, amount }, n) => () => {
      const paid_at = new Date((company.now + days * 86_400) * 1000).toISOString()
      return op.rpc('record_payment', {
        ...record,
        payment_ref: `P${n}`,
        referee_id: users[user]?.id,
        amount,
        currency: 'usd',
        paid_at,
      })
    }),
    ...of.recordedRefunds.flatMap(({ payment, amount, fails }, n) => [
      () =>
        op.rpc('record_refund', {
          ...record,
          refund_ref: `R${n}`,
          payment_ref: `P${payment}`,
          amount,
        }),
      ...(fails
        ? [() => op.rpc('record_refund_reversed', { ...record, refund_ref: `R${n}` })]
        : []),
    ]),
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
