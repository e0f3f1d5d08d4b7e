import type { ProgramTerms, Reward } from '../../client/terms.ts'
import { type ReadyProgramName, readyPrograms } from './ready-programs.ts'

/** The options of `referbase setup`, as commander reads them. */
export type SetupOptions = {
  name?: string
  slug?: string
  web?: string
  ios?: string
  android?: string
  androidPackage?: string
  androidFingerprints?: string[]
  iosAppIds?: string[]
  linkHost?: string
  program?: ReadyProgramName
  commission?: Reward
  months?: number
  once?: true
  forever?: true
  open?: true
  invited?: true
  holdDays?: number
  admin?: string
  invite?: true
  update?: true
  yes?: true
  json?: true
}

/** The settings of an organisation, by their columns, that the options state. */
export function settingsOf(options: SetupOptions): Record<string, string | string[]> {
  const { web, ios, android, androidPackage, androidFingerprints, iosAppIds, linkHost } = options
  const settings = {
    web_destination: web,
    ios_destination: ios,
    android_destination: android,
    android_package: androidPackage,
    android_fingerprints: androidFingerprints?.map((text) => text.toUpperCase()),
    ios_app_ids: iosAppIds,
    link_origin: linkHost?.toLowerCase().replace(/\/$/, ''),
  }
  const stated = Object.entries(settings).filter(([, value]) => value !== undefined)
  return Object.fromEntries(stated) as Record<string, string | string[]>
}

/** The terms that the options state, beside those of a ready program. */
export function termsOf(options: SetupOptions): ProgramTerms {
  const { program, commission, months, once, forever, open, invited, holdDays } = options
  const { tiers, ...ready }: ProgramTerms = program ? readyPrograms[program].terms : {}
  return {
    ...ready,
    // With tiers, a commission is not used.
    ...(commission ? { commission } : tiers && { tiers }),
    ...(months && { recurrence: { months } }),
    ...(once && { recurrence: 'once' }),
    ...(forever && { recurrence: 'forever' }),
    ...(open && { enrolment: 'open' }),
    ...(invited && { enrolment: 'invited' }),
    ...(holdDays !== undefined && { hold_days: holdDays }),
  }
}

/** A slug for the name: lower-case letters and digits, with single hyphens. Empty if the name has none. */
export const slugOf = (name: string): string =>
  name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 60)
    .replace(/^-+|-+$/g, '')
