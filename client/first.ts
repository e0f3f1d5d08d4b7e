import type { ReferralErrorCode } from './errors.ts'
import type { Result } from './result.ts'

/** The result of an RPC that returns a list of one row at most: that row, or null. */
export async function first<Data, Code extends ReferralErrorCode>(
  call: Promise<Result<Data, Code>>,
): Promise<Result<Data, Code>> {
  const result = await call
  if (result.error) return result
  return { data: ([result.data].flat()[0] ?? null) as Data, error: null }
}
