import { optional, required } from './arguments.ts'
import type { Calls } from './calls.ts'
import type { CamelCase } from './camel-case.ts'
import { lostNumber } from './lost-number.ts'
import type { Call } from './result.ts'
import type { Organisation, Program } from './rows.ts'
import type { ProgramTerms } from './terms.ts'

/** The columns that `updateOrganisation` does not set. */
type Fixed = 'id' | 'slug' | 'stripe_account_since' | 'created_at' | 'updated_at'

/** Settings of an organisation by the names of its columns. Null removes a setting that may be missing. */
export type OrganisationSettings = {
  [Column in Exclude<keyof Organisation, Fixed> as CamelCase<Column>]?: Organisation[Column]
}

/** Changes of a program. Of the terms, keys that are not given stay, and a key that is null gets its default. */
export type ProgramChanges = {
  programId: string
  name?: string
  active?: boolean
  /** Makes it the organisation's default program. */
  isDefault?: true
  terms?: { [Key in keyof ProgramTerms]?: ProgramTerms[Key] | null }
}

/** Calls about programs and the organisation, for admins. */
export type StaffSettingCalls = {
  /**
   * Creates a program. The organisation's first program is its default.
   *
   * @example
   * await staff.createProgram({
   *   key: 'friends',
   *   name: 'Bring a friend',
   *   terms: { commission: { kind: 'percent', bps: 2000 }, enrolment: 'open' },
   * })
   */
  createProgram(options: {
    key: string
    name: string
    terms?: ProgramTerms
  }): Call<'create_program', Program>

  /** Changes a program. Changed terms are stored as a new version. */
  updateProgram(options: ProgramChanges): Call<'update_program', Program>

  /**
   * Changes settings of the organisation. `stripeAccountId`, `linkOrigin` and `batchRowsPerDay` are set with the secret key
   * only.
   *
   * @example
   * await staff.updateOrganisation({ webDestination: 'https://example.com/welcome', rotationGrace: '2 days' })
   */
  updateOrganisation(settings: OrganisationSettings): Call<'update_organisation', Organisation>
}

export function staffSettingCalls({ rpc }: Calls): StaffSettingCalls {
  return {
    createProgram: (options) =>
      rpc(
        'create_program',
        { orgId: required, key: required, name: required, terms: optional },
        options,
        (args) => lostNumber('terms', args.terms) ?? args,
      ),

    updateProgram: (options) =>
      rpc(
        'update_program',
        {
          programId: required,
          name: optional,
          active: optional,
          isDefault: optional,
          terms: optional,
        },
        options,
        ({ program_id, ...changes }) =>
          lostNumber('terms', changes.terms) ?? { program_id, changes },
      ),

    updateOrganisation: (settings) =>
      rpc(
        'update_organisation',
        { ...organisationForms, orgId: required },
        settings,
        ({ org_id, ...changes }) => ({ org_id, changes }),
      ),
  }
}

const organisationForms: { [Name in keyof Required<OrganisationSettings>]: typeof optional } = {
  name: optional,
  active: optional,
  webDestination: optional,
  iosDestination: optional,
  androidDestination: optional,
  androidPackage: optional,
  iosAppIds: optional,
  androidFingerprints: optional,
  codeLength: optional,
  codesPerMember: optional,
  maxUsesCap: optional,
  rotationGrace: optional,
  rotationsPerDay: optional,
  redemptionsPerUser: optional,
  redemptionsPerAddress: optional,
  clickWindow: optional,
  clicksPerVisitor: optional,
  clicksPerCode: optional,
  timeZone: optional,
  refuseLookAlikes: optional,
  stripeAccountId: optional,
  linkOrigin: optional,
  batchRowsPerDay: optional,
}
