import { CliError } from '../cli-error.ts'
import { parseCommission } from './commission.ts'
import { meantProgram } from './ensure-program.ts'
import { readyProgramNames, readyPrograms } from './ready-programs.ts'
import type { Stored } from './stored.ts'
import type { SetupOptions } from './wishes.ts'

/** An option that is needed: how it is written, and what a person is asked. */
export type Question = {
  flags: string
  text: string
  read: (answer: string) => Partial<SetupOptions>
}

export type QuestionName = 'name' | 'web' | 'program' | 'admin'

const filled = (answer: string): string => {
  if (answer === '') throw new CliError('An answer is needed.')
  return answer
}

const choices = readyProgramNames.map(
  (name, at) => `  ${at + 1} ${name}: ${readyPrograms[name].about}`,
)

export const questions: Record<QuestionName, Question> = {
  name: {
    flags: '--name',
    text: 'The name of your app: ',
    read: (answer) => ({ name: filled(answer) }),
  },
  web: {
    flags: '--web',
    text: 'The page that links lead to (https://…): ',
    read: (answer) => {
      if (!URL.canParse(answer))
        throw new CliError('Write an address such as https://example.com/.')
      return { web: answer }
    },
  },
  program: {
    flags: '--program or --commission',
    text: `A program:\n${choices.join('\n')}\nA number, or a commission such as 20% or 5 usd: `,
    read: (answer) => {
      const program = readyProgramNames.find((name, at) => [String(at + 1), name].includes(answer))
      return program ? { program } : { commission: parseCommission(answer) }
    },
  },
  admin: {
    flags: '--admin',
    text: 'The first admin, an e-mail address or the id of a user: ',
    read: (answer) => ({ admin: filled(answer) }),
  },
}

/** What the rest of a set-up cannot be made without. */
export function neededFor({ organisation, programs, adminId }: Stored, { program }: SetupOptions) {
  const names: QuestionName[] = []
  if (!organisation) names.push('name')
  if (!organisation?.web_destination) names.push('web')
  if (!meantProgram(programs, program)) names.push('program')
  if (!adminId) names.push('admin')
  return names
}

/** What of it the options do not state. */
export const missingOf = (names: QuestionName[], options: SetupOptions): QuestionName[] =>
  names.filter((name) => !options[name] && !(name === 'program' && options.commission))
