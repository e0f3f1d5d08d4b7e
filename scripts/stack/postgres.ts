/** A Postgres server: initdb, start and stop, with the binaries that npm installed. */
import { type ExecFileException, execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { CliError } from '../../cli/cli-error.ts'
import { canReach, type Identity } from './home.ts'
import { postgresBinaries } from './programs.ts'

export type Postgres = {
  /** `postgresql://…` for a database, as `postgres` or as the superuser `supabase_admin`. */
  url: (database: string, user: 'postgres' | 'supabase_admin') => string
  stop: () => Promise<void>
}

type Settings = {
  home: string
  port: number
  identity: Identity
  durable: boolean
  sharedBuffers?: string
  programs?: Programs
}

/** The programs of another Postgres than npm's, and the options that give its `initdb` the locale C.UTF-8. */
export type Programs = { bin: string; locale: string[] }

/**
 * Starts the server on `home/data`, and creates that folder if it does not exist. A throw-away server (`durable: false`)
 * does not wait for the disk.
 */
export async function startPostgres({
  home,
  port,
  identity,
  durable,
  sharedBuffers = '128MB',
  programs = { bin: reachableBinaries(home, identity), locale: builtinLocale },
}: Settings): Promise<Postgres> {
  const { bin, locale } = programs
  const data = join(home, 'data')
  const run = (program: string, args: string[]) =>
    execute(join(bin, program), args, { cwd: home, ...identity }, join(home, 'postgres.log'))

  const password = passwordOf(home, data)
  if (!existsSync(join(data, 'PG_VERSION')))
    await initialise({ home, data, identity, run, password, locale })
  const options = [
    `-p ${port}`,
    "-c listen_addresses=127.0.0.1 -c unix_socket_directories=''",
    `-c max_connections=200 -c wal_level=logical -c shared_buffers=${sharedBuffers}`,
    durable ? '' : '-c fsync=off -c synchronous_commit=off -c full_page_writes=off',
  ].join(' ')
  await run('pg_ctl', [
    'start',
    '-D',
    data,
    '-w',
    '-t',
    '60',
    '-l',
    join(data, 'server.log'),
    '-o',
    options,
  ])
  return {
    url: (database, user) =>
      `postgresql://${user}:${password}@127.0.0.1:${port}/${database}?sslmode=disable`,
    stop: () => run('pg_ctl', ['stop', '-D', data, '-w', '-m', 'fast']),
  }
}

/**
 * The password of both users, drawn once. Other users of the machine can reach the port: who knows the superuser's password
 * runs programs as the user that runs Postgres.
 */
function passwordOf(home: string, data: string): string {
  const file = join(home, 'database-password')
  if (existsSync(file)) return readFileSync(file, 'utf8')
  if (existsSync(data))
    throw new CliError(`${home} was made by an earlier version: remove it, and start again.`)
  const password = randomBytes(24).toString('hex')
  writeFileSync(file, password, { mode: 0o600 })
  return password
}

const builtinLocale = ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']

async function initialise({
  home,
  data,
  identity,
  run,
  password,
  locale,
}: {
  home: string
  data: string
  identity: Identity
  run: Run
  password: string
  locale: string[]
}): Promise<void> {
  rmSync(data, { recursive: true, force: true })
  mkdirSync(data, { mode: 0o700 })
  const passwordFile = join(home, 'password')
  writeFileSync(passwordFile, password, { mode: 0o600 })
  if (identity.uid) {
    chownSync(data, identity.uid, identity.gid)
    chownSync(passwordFile, identity.uid, identity.gid)
  }
  const access = ['--username=supabase_admin', '--auth=scram-sha-256', `--pwfile=${passwordFile}`]
  await run('initdb', ['-D', data, '--encoding=UTF8', ...locale, ...access, '--no-sync'])
  rmSync(passwordFile)
}

/** The folder of the binaries, or of a copy if the user that runs Postgres cannot reach the installed ones. */
function reachableBinaries(home: string, identity: Identity): string {
  const bin = postgresBinaries()
  if (canReach(bin, identity)) return bin
  const copy = join(home, 'native')
  if (!existsSync(join(copy, 'done'))) {
    rmSync(copy, { recursive: true, force: true })
    cpSync(dirname(bin), copy, { recursive: true, verbatimSymlinks: true })
    writeFileSync(join(copy, 'done'), '')
  }
  return join(copy, 'bin')
}

type Run = (program: string, args: string[]) => Promise<void>

function execute(file: string, args: string[], options: object, log: string): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(
      file,
      args,
      { ...options, env: { PATH: process.env.PATH ?? '', TZ: 'UTC' } },
      (error, stdout, stderr) => {
        writeFileSync(log, `$ ${file} ${args.join(' ')}\n${stdout}${stderr}\n`, { flag: 'a' })
        if (error) reject(new CliError(explain(error, stderr, args)))
        else resolve()
      },
    )
  })
}

function explain(error: ExecFileException, stderr: string, args: string[]): string {
  const log = args[args.indexOf('-l') + 1]
  const lines = [stderr, log && existsSync(log) ? readFileSync(log, 'utf8') : '']
    .join('\n')
    .split('\n')
  const fatal = lines.findLast((line) => /FATAL|could not|error/i.test(line)) ?? error.message
  return `Postgres could not be started or stopped: ${fatal.trim()}`
}
