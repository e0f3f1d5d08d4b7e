/** `referbase setup`: an organisation with its destinations, its program, its first admin and a code of theirs. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { CliError } from './cli-error.ts'
import { type Project, readProject } from './project.ts'
import { createAsker } from './setup/asker.ts'
import { parseCommission } from './setup/commission.ts'
import { ensureAdmin } from './setup/ensure-admin.ts'
import { ensureCode } from './setup/ensure-code.ts'
import { ensureOrganisation } from './setup/ensure-organisation.ts'
import { ensureProgram } from './setup/ensure-program.ts'
import { findPerson } from './setup/person.ts'
import { missingOf, neededFor, type QuestionName, questions } from './setup/questions.ts'
import { readyProgramNames, readyPrograms } from './setup/ready-programs.ts'
import { reportJson, reportText, type SetUp } from './setup/report.ts'
import { readStored, type Stored } from './setup/stored.ts'
import { type SetupOptions, settingsOf, slugOf, termsOf } from './setup/wishes.ts'
import type { Step } from './setup/work.ts'

const list = (text: string) => text.split(',').map((part) => part.trim())
const whole = (least: number, most: number) => (text: string) => {
  if (/^\d{1,4}$/.test(text) && Number(text) >= least && Number(text) <= most) return Number(text)
  throw new InvalidArgumentError(`A whole number from ${least} to ${most}.`)
}
const programs = readyProgramNames.map(
  (name) => `  ${name.padEnd(12)} ${readyPrograms[name].about}`,
)

export const setup = new Command('setup')
  .description(
    'Makes an organisation, its program and its first admin. A second run changes only what options state.',
  )
  .option('--name <text>', 'the name of your app')
  .option('--slug <label>', 'its short name, by which it is found again (default: from the name)')
  .option('--web <url>', 'the page that links lead to')
  .option('--ios <url>', 'where links lead on iOS, such as the page of the store')
  .option('--android <url>', 'where links lead on Android')
  .option('--android-package <name>', 'such as com.example.app')
  .option('--android-fingerprints <list>', 'SHA-256 of the keys that sign it, with commas', list)
  .option('--ios-app-ids <list>', 'such as ABCDE12345.com.example.app, with commas', list)
  .option('--link-host <url>', 'a link host of your own, such as https://go.example.org')
  .addOption(new Option('--program <name>', 'a ready program').choices(readyProgramNames))
  .option('--commission <amount>', '20%, “5 usd”, or “5 usd, 4.50 eur”', parseCommission)
  .addOption(new Option('--months <n>', 'purchases of n months earn').argParser(whole(1, 1200)))
  .addOption(new Option('--once', 'the first purchase earns').conflicts(['months', 'forever']))
  .addOption(new Option('--forever', 'all purchases earn').conflicts('months'))
  .addOption(new Option('--open', 'everybody who signs up can get a code').conflicts('invited'))
  .option('--invited', 'only people whom staff add can get a code')
  .option('--hold-days <n>', 'days until a commission is available', whole(0, 365))
  .option('--admin <user>', 'the first admin: an e-mail address or the id of a user')
  .option('--invite', 'invite the admin by e-mail if they have not signed up')
  .option('--update', 'change terms and roles that exist')
  .option('--yes', 'ask nothing')
  .option('--json', 'print one JSON object')
  .addHelpText('after', `\nReady programs:\n${programs.join('\n')}`)
  .action(async (given: SetupOptions, command: Command) => {
    const { envFile } = command.optsWithGlobals<{ envFile?: string }>()
    const project = readProject()
    const { stored, options } = await complete(project, given)
    const done = await setUp(project, stored, options)
    process.stdout.write(
      options.json
        ? `${JSON.stringify(reportJson(project, done), null, 2)}\n`
        : reportText(project, done, envFile),
    )
    if (done.steps.every(({ kind }) => kind !== 'different')) return
    process.stderr.write('Some things are different, and were left: add --update to change them.\n')
    process.exitCode = 1
  })

/** Asks for missing options on a terminal. Elsewhere it names them. */
async function complete({ database }: Project, given: SetupOptions) {
  const isTerminal = process.stdin.isTTY && !given.yes && !given.json
  let asker: ReturnType<typeof createAsker> | undefined
  const ask = async (names: QuestionName[], options: SetupOptions): Promise<SetupOptions> => {
    const missing = missingOf(names, options)
    if (missing.length === 0) return options
    if (isTerminal) {
      asker ??= createAsker(process.stdin, process.stderr)
      return { ...options, ...(await asker.ask(missing)) }
    }
    const flags = missing.map((name) => questions[name].flags)
    return setup.error(`error: missing ${flags.join(', ')}`, { exitCode: 2 })
  }
  try {
    const named = await ask(given.slug ? [] : ['name'], given)
    const slug = named.slug ?? slugOf(named.name ?? '')
    if (!slug) throw new CliError('--slug is needed: the name has no letters from a to z.')
    const stored = await readStored(database, slug)
    return { stored, options: { ...(await ask(neededFor(stored, named), named)), slug } }
  } finally {
    asker?.close()
  }
}

/** Makes what is missing, in an order that another run can go on from wherever this one ends. */
async function setUp(
  { database }: Project,
  stored: Stored,
  options: SetupOptions & { slug: string },
): Promise<SetUp> {
  const steps: Step[] = []
  const say = (kind: Step['kind'], what: string, stored?: unknown, wanted?: unknown) => {
    const values = wanted !== undefined && { stored: stored ?? null, wanted }
    steps.push({ kind, what, ...values })
    const change = values ? `: ${JSON.stringify(values.stored)} → ${JSON.stringify(wanted)}` : ''
    process.stderr.write(`${kind} ${what}${change}\n`)
  }
  const work = { database, update: options.update ?? false, say }
  const { name, slug, program: ready, admin, invite = false } = options
  const person = admin ? await findPerson(database, admin, invite) : undefined
  if (person?.invited) say('made', 'an invitation of the admin')
  const adminId = person?.id ?? String(stored.adminId)
  const wanted = { name, slug, settings: settingsOf(options) }
  const organisation = await ensureOrganisation(work, stored.organisation, wanted, adminId)
  await ensureAdmin(work, organisation.id, adminId)
  const { program, terms } = await ensureProgram(work, organisation.id, stored.programs, {
    ready,
    terms: termsOf(options),
  })
  const code = await ensureCode(work, organisation.id, adminId, program.id)
  const codeProgram = stored.programs.find(({ id }) => id === code.program_id) ?? program
  return { organisation, program, terms, ready, adminId, code, codeProgram, steps }
}
