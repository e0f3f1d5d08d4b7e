import { optional, required } from './arguments.ts'
import type { Calls } from './calls.ts'
import { type Page, pageOf } from './page.ts'
import type { Call } from './result.ts'
import type { Organisation } from './rows.ts'
import { type OrganisationSettings, staffSettingCalls } from './staff-settings.ts'

/** A click on a code's link. */
export type RecordedClick = {
  code: string
  /** A UUID that you made. The same id is stored once. */
  clickId: string
  /** The visitor's address. With the user agent it tells visitors apart; neither is stored. */
  address?: string
  userAgent?: string
  /** `'web'` unless given. */
  platform?: 'ios' | 'android' | 'web'
  /** A value of the enum `click_channel`. Any other is stored as none. */
  channel?: string
  /** `utm_source`, `utm_medium`, `utm_campaign`, `utm_term` and `utm_content`. Other keys are left out. */
  utm?: Record<string, string>
}

/** Calls about organisations, and what only the operator sets for them. */
export type OperatorOrganisationCalls = {
  /**
   * Creates an organisation with its first admin. `slug` is a lower-case label, and unique.
   *
   * @example
   * const { data, error } = await operator.createOrganisation({ name: 'My app', slug: 'my-app', adminId: userId })
   */
  createOrganisation(options: {
    name: string
    slug: string
    adminId: string
  }): Call<'create_organisation', Organisation>

  /**
   * Changes settings of an organisation. `stripeAccountId`, `linkOrigin` and `batchRowsPerDay` are the operator's alone.
   *
   * @example
   * await operator.updateOrganisation({ orgId, linkOrigin: 'https://go.example.org' })
   */
  updateOrganisation(
    settings: OrganisationSettings & { orgId: string },
  ): Call<'update_organisation', Organisation>

  /**
   * Returns a page of the organisations, newest first, or the one with this slug.
   *
   * @example
   * const { data } = await operator.listOrganisations({ slug: 'my-app' })
   * const orgId = data?.[0]?.id
   */
  listOrganisations(
    filter?: Page<Pick<Organisation, 'created_at' | 'id'>> & { slug?: string },
  ): Call<never, Organisation[]>

  /**
   * Allows an organisation a reserved word in the codes that its staff choose. `allowed: false` takes that back. Returns the
   * words that the organisation is allowed.
   */
  allowWord(options: {
    orgId: string
    word: string
    allowed?: boolean
  }): Call<'allow_word', string[]>

  /**
   * Records a click, for servers that serve links themselves. True: the click counts. False: the visitor has clicked on this
   * code before on this day (UTC), or nothing was stored, because the code cannot be redeemed or has as many clicks as the
   * organisation allows.
   */
  recordClick(click: RecordedClick): Call<'record_click', boolean>
}

export function operatorOrganisationCalls(calls: Calls): OperatorOrganisationCalls {
  const { rpc, read } = calls
  const { updateOrganisation } = staffSettingCalls(calls)
  return {
    createOrganisation: (options) =>
      rpc('create_organisation', { name: required, slug: required, adminId: required }, options),

    updateOrganisation,

    listOrganisations: (filter) =>
      read(
        { slug: optional, after: ['created_at', 'id'], pageSize: optional },
        filter,
        (referral, { slug, ...page }) => {
          const query = referral.from('organisations').select()
          return pageOf(slug === undefined ? query : query.eq('slug', slug), 'created_at', page)
        },
      ),

    allowWord: (options) =>
      rpc('allow_word', { orgId: required, word: required, allowed: optional }, options),

    recordClick: (click) =>
      rpc(
        'record_click',
        {
          code: required,
          clickId: required,
          address: optional,
          userAgent: optional,
          platform: optional,
          channel: optional,
          utm: optional,
        },
        click,
      ),
  }
}
