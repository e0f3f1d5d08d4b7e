/** A failure that one sentence explains to whoever started the command; printed without a stack trace. */
export class Sentence extends Error {}

/** Runs a command's main function; a failure ends the process with exit code 1 and its sentence on standard error. */
export async function runMain(main: () => Promise<void>): Promise<void> {
  try {
    await main()
  } catch (error) {
    const text =
      error instanceof Sentence ? error.message : ((error as Error).stack ?? String(error))
    process.stderr.write(`${text}\n`)
    process.exit(1)
  }
}
