import { optional, required } from './arguments.ts'
import type { createCache } from './cache.ts'
import type { Calls } from './calls.ts'
import type { CodeCalls, CodeFilter, CodeSettings, NewCode, Rotation } from './codes.ts'
import { first } from './first.ts'
import { codeText } from './link-text.ts'
import type { Call, Result } from './result.ts'
import type { Code } from './rows.ts'

type Cache = ReturnType<typeof createCache<Code>>

/** The options of a call: an object, or the referrer, the organisation and more, in this order. */
const optionsOf = <Options extends object>(
  options: Options | string | undefined,
  orgId: string | undefined,
  more?: object,
) =>
  typeof options !== 'object' || orgId
    ? ({ ...more, referrerId: options, orgId } as unknown as Options)
    : options

const ofReferrer = { orgId: required, referrerId: optional }
const newCode = {
  code: optional,
  programId: optional,
  maxUses: optional,
  expiresAt: optional,
  description: optional,
}

const filter = {
  orgId: required,
  referrerId: optional,
  programId: optional,
  batchId: optional,
  usable: optional,
  after: 'id',
  pageSize: optional,
}

export function codeCalls({ rpc, list }: Calls, activeCodes: Cache): CodeCalls {
  const written = <Answer extends Result<unknown>>(call: Promise<Answer>) =>
    call.finally(activeCodes.clear)

  return {
    createCode: (options?: NewCode | string, orgId?: string, code?: string, more?: CodeSettings) =>
      written(
        rpc(
          'create_code',
          { ...ofReferrer, ...newCode },
          optionsOf<NewCode>(options, orgId, { ...more, code }),
        ),
      ),

    getOrCreateCode: (options) =>
      written(rpc('get_or_create_code', { orgId: required, programId: optional }, options)),

    async getActiveCode(options?: { referrerId?: string } | string, orgId?: string) {
      const asked = optionsOf<{ referrerId?: string }>(options, orgId)
      const key = JSON.stringify(asked)
      const cached = activeCodes.get(key)
      if (cached) return { data: { ...cached }, error: null }
      const store = activeCodes.prepare(key)
      const call: Call<'get_active_code', Code | null> = rpc('get_active_code', ofReferrer, asked)
      const result = await first(call)
      if (result.data) store(result.data, result.data.expires_at)
      return result
    },

    findByCode: (code) => first(rpc('find_code', { code: required }, { code: codeText(code) })),

    rotateCode: (options?: Rotation | string, orgId?: string, more?: Rotation) =>
      written(
        rpc(
          'rotate_code',
          { ...ofReferrer, code: optional, grace: optional, reason: optional },
          optionsOf<Rotation>(options, orgId, more),
        ),
      ),

    deactivateCode: (
      options?: { referrerId?: string; reason?: string } | string,
      orgId?: string,
      reason?: string,
    ) =>
      written(
        first(
          rpc(
            'deactivate_code',
            { ...ofReferrer, reason: optional },
            optionsOf<{ referrerId?: string; reason?: string }>(options, orgId, { reason }),
          ),
        ),
      ),

    listCodes: (options) => list('list_codes', filter, options),
    listCodesByOrganisation: (orgId, options) =>
      list('list_codes', filter, { ...options, orgId: orgId ?? '' } as CodeFilter),

    codeUses: (options) => rpc('code_uses', { codeIds: required }, options),
  }
}
