import { createInterface } from 'node:readline/promises'
import { CommanderError } from 'commander'
import { CliError } from '../cli-error.ts'
import { parseCommission } from './commission.ts'
import { readyProgramNames, readyPrograms } from './ready-programs.ts'
import type { SetupOptions } from './wishes.ts'

/** An option that is needed: how it is written, and what a person is asked. */
type Question = { flags: string; text: string; read: (answer: string) => Partial<SetupOptions> }

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

/** Asks on a terminal until each question has an answer that can be read. Throws if the person leaves. */
export async function ask(
  names: QuestionName[],
  { input, output }: { input: NodeJS.ReadableStream; output: NodeJS.WritableStream },
): Promise<Partial<SetupOptions>> {
  const terminal = createInterface({ input, output, terminal: true })
  const left = new Promise<never>((_, reject) =>
    terminal.once('close', () => reject(new CliError('Nothing was made.'))),
  )
  left.catch(() => {})
  try {
    let options: Partial<SetupOptions> = {}
    for (const name of names) {
      for (let read: Partial<SetupOptions> | undefined; !read; ) {
        const answer = await Promise.race([terminal.question(questions[name].text), left])
        try {
          read = questions[name].read(answer.trim())
        } catch (error) {
          if (!(error instanceof CliError || error instanceof CommanderError)) throw error
          output.write(`${error.message}\n`)
        }
        options = { ...options, ...read }
      }
    }
    return options
  } finally {
    terminal.close()
  }
}
