import { spawnSync } from 'node:child_process'

/** Calls back once the npm that runs this script is gone: killed, it passes on no signal. Does nothing without npm. */
export function whenNpmEnds(stop: () => void): void {
  if (!process.env.npm_lifecycle_event) return
  const above = processesUpToNpm()
  const watch = setInterval(() => {
    if (above.every(isRunning)) return
    clearInterval(watch)
    stop()
  }, 500)
  watch.unref()
}

/** npm runs a script directly or by a shell. Where there is no `ps`, the first counts. */
function processesUpToNpm(): number[] {
  const { stdout } = spawnSync('ps', ['-o', 'ppid=,comm=', '-p', String(process.ppid)], {
    encoding: 'utf8',
  })
  const [, parent = '', command = ''] = /^\s*(\d+)\s+(.*?)\s*$/.exec(stdout ?? '') ?? []
  return /(^|\/)(sh|dash|bash)$/.test(command) ? [process.ppid, Number(parent)] : [process.ppid]
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
