/** An error for the user of a command. `runMain` prints its message without a stack trace. */
export class CliError extends Error {}

/** Runs a command's main function. On an error it prints the message to standard error and exits with code 1. */
export async function runMain(main: () => Promise<void>): Promise<void> {
  try {
    await main()
  } catch (error) {
    const text =
      error instanceof CliError ? error.message : ((error as Error).stack ?? String(error))
    process.stderr.write(`${text}\n`)
    process.exit(1)
  }
}
