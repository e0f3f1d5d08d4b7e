import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Stops the Postgres that a killed run left on this data folder, and removes its pid file. A different process with the same
 * pid is not stopped, because its command line does not name the folder.
 */
export function stopLeftover(data: string): void {
  const file = join(data, 'postmaster.pid')
  if (!existsSync(file)) return
  const [line = ''] = readFileSync(file, 'utf8').split('\n')
  const pid = Number(line)
  if (commandLine(pid).includes(data)) {
    process.kill(pid, 'SIGINT')
    for (let waited = 0; waited < 10_000 && commandLine(pid).includes(data); waited += 50) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    }
  }
  rmSync(file, { force: true })
}

function commandLine(pid: number): string {
  if (process.platform !== 'linux') {
    return spawnSync('ps', ['-p', String(pid), '-o', 'command='], { encoding: 'utf8' }).stdout
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
