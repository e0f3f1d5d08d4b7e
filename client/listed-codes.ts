import { optional, required, type Values } from './arguments.ts'
import type { Calls } from './calls.ts'
import type { CodeFilter } from './codes.ts'
import { pageOf } from './page.ts'
import type { Call } from './result.ts'
import type { Code } from './rows.ts'
import type { Query, ReferralSchema } from './schema.ts'

const forms = {
  orgId: required,
  referrerId: optional,
  programId: optional,
  batchId: optional,
  usable: optional,
  after: ['created_at', 'id'],
  pageSize: optional,
}

/** A page of the codes that fit the filter, as they are now. */
export async function listedCodes(read: Calls['read'], filter?: CodeFilter): Call<never, Code[]> {
  const result = await read<Code[]>(forms, filter, queryOf)
  return result.error ? result : { ...result, data: result.data.map(asOfNow) }
}

function queryOf(
  referral: ReferralSchema,
  { usable, after, page_size, ...columns }: Values,
): Query {
  let query = referral.from('codes').select()
  for (const column in columns) query = query.eq(column, columns[column])
  return pageOf(
    query,
    'created_at',
    { after, page_size },
    usable === true &&
      `status.eq.active,or(expires_at.is.null,expires_at.gt."${new Date().toISOString()}")`,
  )
}

/** Shows a code past its expiry as expired, also before the job has stored that. */
function asOfNow(code: Code): Code {
  const inUse = ['active', 'suspended'].includes(code.status)
  const isPast = Date.parse(code.expires_at ?? '') <= Date.now()
  return inUse && isPast ? { ...code, status: 'expired' } : code
}
