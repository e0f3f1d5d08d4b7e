/** The organisations and people of mixed worlds: everything is older than the worlds, or of a fixed time. */
import type { Company } from '../fixtures/mixed-company.ts'
import { percent } from '../fixtures/mixed-terms.ts'
import { type Actor, person } from './actors.ts'
import type { Sql } from './database.ts'
import { rewriteTerms } from './histories.ts'
import { codeOf, type Scene, scene } from './scene.ts'

export type Staged = {
  sql: Sql
  scenes: [own: Scene, rival: Scene]
  /** Who redeems which of the first two codes. */
  redeemers: { by: Actor; code: number }[]
  /** Each code's row and its owner, and the place of its organisation. */
  codes: { id: string; owner: string; scene: 0 | 1 }[]
  company: Company
}

/**
 * Two organisations on one account, the second one made later. Of the four codes, the second benefits somebody else, the
 * third was suspended for a while, and the fourth is younger than some purchases. Who redeems has done so at a fixed time.
 */
export async function stageCompany(sql: Sql, tag = ''): Promise<Staged> {
  const now = Math.floor(Date.now() / 1000)
  const [own, rival] = [await scene(sql, percent), await scene(sql, percent)]
  const owners = [
    [own.mentor, own, 0],
    [rival.mentor, rival, 1],
    [own.coordinator, own, 0],
    [rival.coordinator, rival, 1],
  ] as const
  const codes: (Staged['codes'][0] & { code: string })[] = []
  for (const [owner, { org }, scene] of owners)
    codes.push({ ...(await codeOf(owner, org)), owner: owner.id, scene })
  const users = [person(sql), person(sql)] as const
  const redeemers = [
    ...users.flatMap((by) => [0, 1].map((code) => ({ by, code }))),
    { by: own.coordinator, code: 0 },
  ]
  const redemptions = redeemers.map(({ by, code }, n) => ({
    id: crypto.randomUUID(),
    user: by.id,
    org: (code ? rival : own).org,
    at: at(now, [-9, -7, -4, -6, -10][n] ?? 0),
  }))
  await sql.unsafe(`
    insert into auth.users (id, created_at)
    values ('${users[0].id}', '${at(now, -30)}'), ('${users[1].id}', '${at(now, -6)}');
    set constraints all immediate;
    update referral.organisations set stripe_account_since = '${at(now, -90)}' where id = '${own.org}';
    update referral.organisations set stripe_account_since = '${at(now, -8)}' where id = '${rival.org}'`)
  await rewriteTerms(
    sql,
    `set valid_from = '${at(now, -90)}' where org_id in ('${own.org}', '${rival.org}')`,
  )
  await dateCodes(sql, now, codes, person(sql).id)
  await dateRedemptions(sql, redemptions)
  const company = {
    users: [...users.map(({ id }) => id), crypto.randomUUID(), own.mentor.id],
    redemptions: redemptions.map(({ id }) => id),
    codes: codes.map(({ code }) => code),
    orgs: [own.org, rival.org, crypto.randomUUID()],
    now,
    tag,
  }
  return { sql, scenes: [own, rival], redeemers, codes, company }
}

/** Puts other terms into the first version of each organisation's program, as if it had been agreed so. */
export async function useTerms({ sql, scenes }: Staged, terms: readonly object[]): Promise<void> {
  for (const [n, { program }] of scenes.entries())
    await rewriteTerms(
      sql,
      `set terms = (terms - 'commission') || '${JSON.stringify(terms[n])}' where program_id = '${program}'`,
    )
}

const at = (now: number, days: number) =>
  new Date((now + Math.round(days * 86_400)) * 1000).toISOString()

/** Codes that were made, and changed, at fixed times; half a minute late, where clocks may differ. */
async function dateCodes(
  sql: Sql,
  now: number,
  codes: { id: string; scene: number }[],
  beneficiary: string,
): Promise<void> {
  const [first, second, third, fourth] = codes.map(({ id }) => id)
  const half = 30 / 86_400
  const states = [
    [first, 'active', -90],
    [second, 'active', -90],
    [third, 'active', -90],
    [third, 'suspended', -8 + half],
    [third, 'active', -6 + half],
    [third, 'invalidated', -2 - half],
    [fourth, 'active', -7 + half],
  ] as const
  const rows = states.map(([id, status, days]) => ({ id, status, since: at(now, days) }))
  await sql.unsafe(`
    alter table referral.codes disable trigger user;
    update referral.codes set created_at = '${at(now, -90)}' where id in ('${first}', '${second}', '${third}');
    update referral.codes set created_at = '${at(now, -7 + half)}' where id = '${fourth}';
    update referral.codes set beneficiary_id = '${beneficiary}' where id = '${second}';
    alter table referral.codes enable trigger user, enable always trigger codes_keep_what_they_are;
    alter table referral_private.code_states disable trigger user;
    delete from referral_private.code_states where code_id in ('${first}', '${second}', '${third}', '${fourth}');
    alter table referral_private.code_states enable trigger user`)
  for (const { id, status, since } of rows)
    await sql`
      insert into referral_private.code_states (org_id, code_id, status, since)
      select org_id, id, ${status}, ${since} from referral.codes where id = ${id ?? ''}`
}

/** Who redeems a code has done so at a fixed time, under the first terms, and with a known id. */
async function dateRedemptions(
  sql: Sql,
  redemptions: { id: string; user: string; org: string; at: string }[],
): Promise<void> {
  await sql.unsafe(`
    create table if not exists public.fixed_redemptions (id uuid, user_id uuid, org_id uuid, at timestamptz);
    create or replace function public.at_a_fixed_time() returns trigger language plpgsql security definer as $$
    begin
      select f.id, f.at, 1 into new.id, new.redeemed_at, new.terms_version
      from public.fixed_redemptions as f where f.user_id = new.referee_id and f.org_id = new.org_id;
      return new;
    end $$;
    create or replace trigger at_a_fixed_time before insert on referral.redemptions
    for each row execute function public.at_a_fixed_time()`)
  for (const { id, user, org, at } of redemptions)
    await sql`insert into public.fixed_redemptions values (${id}, ${user}, ${org}, ${at})`
}
