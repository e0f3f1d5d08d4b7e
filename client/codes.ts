import type { Page } from './page.ts'
import type { Call } from './result.ts'
import type { Code, CodeUses } from './rows.ts'

/** Settings of a new code. */
export type CodeSettings = {
  /** The organisation's default program unless given. */
  programId?: string
  /** How often the code can be redeemed. Without it there is no limit. Staff only. */
  maxUses?: number
  /** ISO 8601. Staff only. */
  expiresAt?: string
  /** One line of text for the referrer and staff. */
  description?: string
}

/** A code to make, for the signed-in person unless `referrerId` is given. Only staff may choose the text of `code`. */
export type NewCode = CodeSettings & { referrerId?: string; code?: string }

/** The code to rotate: that of the signed-in person unless `referrerId` is given. */
export type Rotation = {
  referrerId?: string
  /** The text of the next code. Staff only. */
  code?: string
  /**
   * How long the old code stays redeemable: an interval such as `'2 days'` or `'PT12H'`. None unless given, and at most the
   * organisation's `rotation_grace`, which is 7 days unless set.
   */
  grace?: string
  reason?: string
}

/** Which codes to list. */
export type CodeFilter = Page<Pick<Code, 'id'>> & {
  referrerId?: string
  programId?: string
  batchId?: string
  /** Leaves out codes that are suspended, rotated, ended or expired. */
  usable?: boolean
}

/** Calls about codes, for a referrer, or for staff on behalf of a referrer. */
export type CodeCalls = {
  /**
   * Creates a referrer's code. A referrer has one active code in an organisation. `looks_like_another` warns that a chosen
   * code looks like one of another organisation on the shared link host.
   *
   * @example
   * const { data, error } = await referrals.createCode()
   * if (error?.code === 'active_code_exists') …
   */
  createCode(options?: NewCode): Call<'create_code', Code>
  /** Creates a code of the referrer in the organisation. */
  createCode(
    referrerId: string,
    orgId: string,
    code?: string,
    settings?: CodeSettings,
  ): Call<'create_code', Code>

  /**
   * Returns the signed-in person's active code, or creates one. If the program's enrolment is open, the call makes them a
   * member. The program is the default one unless `programId` is given.
   *
   * @example
   * const { data } = await referrals.getOrCreateCode()
   * data?.code // '7KQ2-M9XT'
   */
  getOrCreateCode(options?: { programId?: string }): Call<'get_or_create_code', Code>

  /**
   * Returns the active code of the signed-in person, or of `referrerId`, or null. A code is cached for `cacheSeconds`, but
   * not past its expiry; null is not cached. A change by staff or by another device shows after that time.
   */
  getActiveCode(options?: { referrerId?: string }): Call<'get_active_code', Code | null>
  /** Returns the referrer's active code in the organisation, or null. */
  getActiveCode(referrerId: string, orgId: string): Call<'get_active_code', Code | null>

  /**
   * Finds a code by its text, in any status. Case and spacing do not matter, and the text can be a link. Null if there is
   * no such code, or if the caller may not see it.
   */
  findByCode(code: string): Call<'find_code', Code | null>

  /**
   * Retires the active code and creates the next one, in one transaction. A code in its grace counts as one of the
   * referrer's codes: `too_many_codes`. Referrers replace their codes up to `rotations_per_day` times within 24 hours, a
   * setting of the organisation: `rate_limited`.
   *
   * @example
   * const { data } = await referrals.rotateCode({ grace: '2 days', reason: 'new card' })
   */
  rotateCode(options?: Rotation): Call<'rotate_code', Code>
  /** Replaces the referrer's active code in the organisation. */
  rotateCode(
    referrerId: string,
    orgId: string,
    options?: Omit<Rotation, 'referrerId'>,
  ): Call<'rotate_code', Code>

  /** Ends the active code permanently and returns it. Null if there is none. */
  deactivateCode(options?: {
    referrerId?: string
    reason?: string
  }): Call<'deactivate_code', Code | null>
  /** Ends the referrer's active code in the organisation. */
  deactivateCode(
    referrerId: string,
    orgId: string,
    reason?: string,
  ): Call<'deactivate_code', Code | null>

  /**
   * Returns a page of the organisation's codes that the caller may see, newest first.
   *
   * @example
   * const first = await referrals.listCodes({ usable: true })
   * const next = await referrals.listCodes({ usable: true, after: first.data?.at(-1) })
   */
  listCodes(filter?: CodeFilter): Call<'list_codes', Code[]>
  /** Returns a page of the organisation's codes that the caller may see: `listCodes` of an organisation that you name. */
  listCodesByOrganisation(orgId: string, filter?: CodeFilter): Call<'list_codes', Code[]>

  /**
   * Returns the uses and the limits of up to 1,000 codes. Codes that the caller may not see are left out. Staff get the
   * uses of each code. A referrer gets the uses of their code together with those of the codes that it replaced or that
   * replaced it.
   */
  codeUses(options: { codeIds: string[] }): Call<'code_uses', CodeUses[]>
}
