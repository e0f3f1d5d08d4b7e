import type { Code, Organisation, Program } from '../../client/rows.ts'
import type { ProgramTerms } from '../../client/terms.ts'
import { commandText } from '../command-text.ts'
import { pack } from '../pack.ts'
import type { Project } from '../project.ts'
import { type ReadyProgramName, readyPrograms } from './ready-programs.ts'
import type { Step } from './work.ts'

/** What `referbase setup` leaves. */
export type SetUp = {
  organisation: Organisation
  program: Program
  terms: ProgramTerms
  ready: ReadyProgramName | undefined
  adminId: string
  code: Code
  /** The program of the code: a referrer has one active code, which can be of another program than this one. */
  codeProgram: Program
  steps: Step[]
}

/** The link of a code: on the organisation's own host, or at the function. */
const linkOf = ({ functionsUrl }: Project, { organisation, code }: SetUp): string =>
  organisation.link_origin
    ? `${organisation.link_origin}/link/${code.code}`
    : `${functionsUrl}/referbase-link/${code.code}`

/** The result for a script. */
export const reportJson = (project: Project, done: SetUp) => ({
  org_id: done.organisation.id,
  slug: done.organisation.slug,
  program_id: done.program.id,
  program_key: done.program.key,
  terms: done.terms,
  admin_id: done.adminId,
  code: done.code.code,
  code_program_key: done.codeProgram.key,
  link: linkOf(project, done),
  steps: done.steps,
})

/** The result for a person, and what comes next, with the file of variables that this run read. */
export function reportText(project: Project, done: SetUp, envFile: string | undefined): string {
  const { organisation, program, terms, ready, adminId, codeProgram } = done
  const ofOther = codeProgram.id === program.id ? '' : ` of program ${codeProgram.key}`
  const note = ready && 'note' in readyPrograms[ready] ? [readyPrograms[ready].note, ''] : []
  const tarball = `./referbase-${pack.version}.tgz`
  const file = envFile === undefined ? '' : ` --env-file ${inShell(envFile)}`
  return [
    `Organisation  ${organisation.name} (${organisation.slug})`,
    `Id            ${organisation.id}`,
    `Admin         ${adminId}`,
    `Program       ${program.name} (${program.key})`,
    ...Object.entries(terms).map(([term, value]) => `  ${term}: ${JSON.stringify(value)}`),
    `Link          ${linkOf(project, done)}${ofOther}`,
    '',
    ...note,
    'In your app:',
    '',
    `  npm install ${tarball} @supabase/supabase-js`,
    '',
    "  import { createReferralClient } from 'referbase'",
    '',
    '  // `supabase` is the supabase-js client that your app has, with the publishable key.',
    '  const referrals = createReferralClient(supabase, {',
    `    orgId: '${organisation.id}',`,
    '  })',
    '  const { data, error } = await referrals.getOrCreateCode()',
    '',
    'Next:',
    '',
    `  ${commandText.referbase(`doctor${file} --org ${organisation.id}`)}`,
    '',
  ].join('\n')
}

/** A path as an argument of a command. */
const inShell = (path: string) =>
  /^[\w./~-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
