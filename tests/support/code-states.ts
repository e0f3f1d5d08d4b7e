/** Other times for codes: when they were made, and when each of their states began. */
import type { Sql } from './database.ts'

export type State = {
  status: string
  since: string
  expires_at?: string
  redeemable_until?: string
}

/** Says that an organisation's codes were made at this time, and that their first states began then. */
export async function dateCodes(sql: Sql, org: string, at: string): Promise<void> {
  await sql.unsafe(`
    set constraints all immediate;
    alter table referral.codes disable trigger user;
    update referral.codes set created_at = '${at}' where org_id = '${org}';
    alter table referral.codes enable trigger user, enable always trigger codes_keep_what_they_are;
    alter table referral_private.code_states disable trigger user;
    update referral_private.code_states as s set since = '${at}'
    where s.org_id = '${org}' and s.state_id = (
      select min(f.state_id) from referral_private.code_states as f
      where f.org_id = s.org_id and f.code_id = s.code_id
    );
    alter table referral_private.code_states enable always trigger code_states_are_append_only`)
}

/** Says that a code had these states, whatever states it had. */
export async function restate(sql: Sql, codeId: string, states: State[]): Promise<void> {
  await sql.unsafe(`
    set constraints all immediate;
    alter table referral_private.code_states disable trigger user;
    delete from referral_private.code_states where code_id = '${codeId}';
    alter table referral_private.code_states enable always trigger code_states_are_append_only`)
  for (const { status, since, expires_at = null, redeemable_until = null } of states)
    await sql`
      insert into referral_private.code_states (org_id, code_id, status, since, expires_at, redeemable_until)
      select org_id, id, ${status}, ${since}, ${expires_at}, ${redeemable_until}
      from referral.codes where id = ${codeId}`
}
