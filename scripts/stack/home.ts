/**
 * The folder of a stack's data, keys and logs: `.referbase` in the project, or a temporary folder. Postgres refuses to
 * run as root. If the current user is root, Postgres runs as another user, who must be able to reach the folder.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CliError } from '../../cli/cli-error.ts'
import { stopLeftover } from './leftover.ts'

const temporaryPrefix = 'referbase-run-'

/** The user that Postgres runs as. Empty for the current user. */
export type Identity = { uid: number; gid: number } | Record<string, never>

/** The user for Postgres: `postgres` or `nobody` if the current user is root, else the current user. */
export function postgresIdentity(): Identity {
  if (process.getuid?.() !== 0) return {}
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  const user = ['postgres', 'nobody']
    .map((name) => users.find((fields) => fields[0] === name))
    .find(Boolean)
  if (!user)
    throw new CliError(
      'Postgres cannot run as root, and this machine has no user "postgres" or "nobody".',
    )
  return { uid: Number(user[2]), gid: Number(user[3]) }
}

/** The folder of a project's stack that persists between runs. Git ignores what is in it. */
export function lastingHome(identity: Identity, project: string): string {
  const inside = join(project, '.referbase')
  try {
    mkdirSync(inside, { recursive: true, mode: 0o755 })
    accessSync(inside, constants.W_OK)
    writeFileSync(join(inside, '.gitignore'), '*\n')
  } catch {
    throw new CliError(
      `${inside} cannot be written by this user: start with --fresh, or start as its owner.`,
    )
  }
  if (canReach(inside, identity)) return inside
  const outside = join(
    '/var/tmp',
    `referbase-${createHash('sha256').update(project).digest('hex').slice(0, 16)}`,
  )
  mkdirSync(outside, { recursive: true, mode: 0o755 })
  const { uid, mode } = statSync(outside)
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0) {
    throw new CliError(
      `${outside} belongs to another user or is writable by others: remove it, and start again.`,
    )
  }
  return outside
}

/** Makes a temporary folder for a stack. First it stops and removes the stacks of killed runs. */
export function temporaryHome(identity: Identity = {}): string {
  const parent = [tmpdir(), '/tmp', '/var/tmp'].find((folder) => canReach(folder, identity))
  if (!parent) throw new CliError(`The user that runs Postgres cannot reach ${tmpdir()}.`)
  for (const name of readdirSync(parent).filter((entry) => entry.startsWith(temporaryPrefix))) {
    const folder = join(parent, name)
    if (
      statSync(folder, { throwIfNoEntry: false })?.uid !== (process.getuid?.() ?? 0) ||
      ownerIsAlive(folder)
    )
      continue
    stopLeftover(join(folder, 'data'))
    rmSync(folder, { recursive: true, force: true })
  }
  const folder = mkdtempSync(join(parent, temporaryPrefix))
  chmodSync(folder, 0o755)
  writeFileSync(join(folder, 'owner.pid'), String(process.pid))
  return folder
}

function ownerIsAlive(folder: string): boolean {
  const file = join(folder, 'owner.pid')
  const age = Date.now() - (statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? 0)
  if (!existsSync(file)) return age < 60_000
  try {
    process.kill(Number(readFileSync(file, 'utf8')), 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Whether this user can read the folder. */
export function canReach(path: string, identity: Identity): boolean {
  return (
    spawnSync('/bin/sh', ['-c', 'test -r "$1" && test -x "$1"', 'sh', path], {
      cwd: '/',
      ...identity,
    }).status === 0
  )
}
