import { createInterface } from 'node:readline'
import { CommanderError } from 'commander'
import { CliError } from '../cli-error.ts'
import { type Question, type QuestionName, questions } from './questions.ts'
import type { SetupOptions } from './wishes.ts'

/** A terminal with a person. Lines that they type or paste ahead are answers to the questions that follow. */
export function createAsker(
  input: NodeJS.ReadableStream,
  output: NodeJS.WritableStream,
): { ask: (names: QuestionName[]) => Promise<Partial<SetupOptions>>; close: () => void } {
  const terminal = createInterface({ input, output, terminal: true })
  const lines = terminal[Symbol.asyncIterator]()
  // The terminal no longer does this by itself.
  terminal.on('SIGINT', () => process.exit(130))

  /** Asks until the answer can be read. Throws if the person leaves. */
  async function answerTo({ text, read }: Question): Promise<Partial<SetupOptions>> {
    for (;;) {
      terminal.setPrompt(text)
      terminal.prompt()
      const { value, done } = await lines.next()
      if (done) throw new CliError('Nothing was made.')
      try {
        return read(value.trim())
      } catch (error) {
        if (!(error instanceof CliError || error instanceof CommanderError)) throw error
        output.write(`${error.message}\n`)
      }
    }
  }

  return {
    ask: async (names) => {
      let options: Partial<SetupOptions> = {}
      for (const name of names) options = { ...options, ...(await answerTo(questions[name])) }
      return options
    },
    close: () => terminal.close(),
  }
}
