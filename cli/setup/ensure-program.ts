import type { Json } from '../../client/database.types.ts'
import type { Program } from '../../client/rows.ts'
import type { ProgramTerms } from '../../client/terms.ts'
import { call } from '../call.ts'
import { type ReadyProgramName, readyPrograms } from './ready-programs.ts'
import { differencesOf } from './term-differences.ts'
import type { Work } from './work.ts'

type Wanted = { ready: ReadyProgramName | undefined; terms: ProgramTerms }

/** The program that the options mean: that of a ready program, else the default one. */
export const meantProgram = (programs: Program[], ready: ReadyProgramName | undefined) =>
  programs.find((program) =>
    ready ? program.key === readyPrograms[ready].key : program.is_default,
  )

/**
 * Makes the program unless it is there. Terms that are different are changed with `--update` only: of a ready program all
 * of them, else those that the options state.
 */
export async function ensureProgram(
  { database, update, say }: Work,
  org_id: string,
  programs: Program[],
  { ready, terms }: Wanted,
): Promise<{ program: Program; terms: ProgramTerms }> {
  let program = meantProgram(programs, ready)
  if (!program) {
    const { key, name } = ready ? readyPrograms[ready] : { key: 'friends', name: 'Bring a friend' }
    program = await call(
      'The program was not made',
      database.rpc('create_program', { org_id, key, name, terms }),
    )
    say('made', `program ${key}`)
    return { program, terms: await termsInForce(database, program) }
  }
  const stored = await termsInForce(database, program)
  const differences = differencesOf(stored, terms, ready !== undefined)
  for (const [term, value] of Object.entries(differences))
    say(update ? 'changed' : 'different', `${term} of ${program.key}`, stored[term as never], value)
  if (!update || Object.keys(differences).length === 0) return { program, terms: stored }
  const changes = { program_id: program.id, changes: { terms: differences as Json } }
  program = await call('The terms were not changed', database.rpc('update_program', changes))
  return { program, terms: await termsInForce(database, program) }
}

async function termsInForce(
  database: Work['database'],
  { org_id, id }: Program,
): Promise<ProgramTerms> {
  const versions = database.from('program_terms').select('terms').eq('org_id', org_id)
  const { terms } = await call(
    'The terms cannot be read',
    versions.eq('program_id', id).is('valid_to', null).single(),
  )
  return terms as ProgramTerms
}
