/** The file with the URLs and keys of a running stack. A file that no stack has written is never touched. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { CliError } from '../../cli/cli-error.ts'

/** The first line, by which the file is known again. */
export const mark = '# Written by referbase, which removes this file when the stack stops.\n'

/** Removes the file of a killed run, so that no process reads it, and fails early if the file cannot be written. */
export function prepareEnvironmentFile(file: string): void {
  if (existsSync(file) && !readFileSync(file, 'utf8').startsWith(mark))
    throw new CliError(`The file ${file} exists, and is not of a stack. Choose another name.`)
  try {
    writeFileSync(`${file}.new`, '', { mode: 0o600 })
    rmSync(file, { force: true })
    rmSync(`${file}.new`)
  } catch {
    throw new CliError(`The env file ${file} cannot be written.`)
  }
}

/** Writes the file in one step, so that a waiting process reads it whole. */
export function writeEnvironmentFile(file: string, environment: Record<string, string>): void {
  const lines = Object.entries(environment).map(([name, value]) => `${name}=${value}\n`)
  writeFileSync(`${file}.new`, mark + lines.join(''), { mode: 0o600 })
  renameSync(`${file}.new`, file)
}
