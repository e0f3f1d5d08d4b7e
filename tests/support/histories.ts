/** Other histories of terms and switches than what happened in a test. Their guards are off while they are written. */
import type { Sql } from './database.ts'

/** Changes versions of terms: `change` is what follows `update referral.program_terms as t`. */
export async function rewriteTerms(sql: Sql, change: string): Promise<void> {
  await sql.unsafe(`
    alter table referral.program_terms disable trigger program_terms_are_immutable;
    update referral.program_terms as t ${change};
    alter table referral.program_terms enable always trigger program_terms_are_immutable`)
}

/** Says that what was switched last was switched at this time, which is SQL. */
export async function redateLastSwitch(sql: Sql, since: string): Promise<void> {
  await sql.unsafe(`
    alter table referral_private.switches disable trigger switches_are_append_only;
    update referral_private.switches set since = ${since}
    where id = (select max(id) from referral_private.switches);
    alter table referral_private.switches enable always trigger switches_are_append_only`)
}
