import type postgres from 'postgres'

/** The nth code, and the nth member, who owns it. */
export const code = (n: string) => `upper(left(md5((${n})::text), 16))`
export const referrer = (n: string) => `md5('referrer' || ${n})::uuid`

/**
 * Gives an organisation this many codes of as many members, one in ten with a public name, and the first `limited` codes a
 * quota, as superuser: past
 * triggers, foreign keys and the audit. Secondary indexes are made anew afterwards, which is minutes faster for millions.
 */
export async function fillCodes(
  admin: postgres.Sql,
  { org, program }: { org: string; program: string },
  codes: number,
  limited = 0,
): Promise<void> {
  const indexes = await admin<{ name: string; definition: string }[]>`
    select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
    from pg_index as i
    where i.indrelid in ('referral.codes'::regclass, 'referral.members'::regclass)
      and not exists (select from pg_constraint as k where k.conindid = i.indexrelid)`
  await admin.unsafe("set session_replication_role = replica; set maintenance_work_mem = '1GB'")
  for (const { name } of indexes) await admin.unsafe(`drop index ${name}`)
  await admin.unsafe(`
    insert into referral.members (org_id, user_id, display_name, public_name)
    select '${org}', ${referrer('n')}, 'Name ' || n, n % 10 = 0 from generate_series(1, ${codes}) as n;
    insert into referral.code_quotas (org_id, max_uses)
    select '${org}', 1000000000 from generate_series(1, ${limited}) as n;
    insert into referral.codes (org_id, program_id, code, referrer_id, quota_id)
    select '${org}', '${program}', ${code('n')}, ${referrer('n')}, q.quota_id
    from generate_series(1, ${codes}) as n
    left join (select quota_id, row_number() over () as n from referral.code_quotas) as q using (n);
    insert into referral_private.code_states (org_id, code_id, status, since)
    select org_id, id, status, created_at from referral.codes;`)
  for (const { definition } of indexes) await admin.unsafe(definition)
  await admin`reset session_replication_role`
  await admin.unsafe(
    'vacuum (analyze, freeze) referral.members, referral.code_quotas, referral.codes, referral_private.code_states',
  )
}
