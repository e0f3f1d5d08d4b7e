/** The Supabase CLI for scripts: without prompts, telemetry and colours. */
import { execFile } from 'node:child_process'
import { supabaseCommand } from './programs.ts'
import { root } from './root.ts'

export type CliResult = { code: number; stdout: string; stderr: string }

/**
 * Runs `supabase` with the arguments in the repository, or in another project folder, and waits for its end. `environment`
 * is set beside the process's own.
 */
export function supabase(
  args: string[],
  workdir: string = root,
  environment: Record<string, string> = {},
): Promise<CliResult> {
  const [command = '', ...before] = supabaseCommand()
  return new Promise((resolve) => {
    execFile(
      command,
      [...before, ...args, '--agent', 'no', '--yes', '--workdir', workdir],
      {
        cwd: workdir,
        env: { ...process.env, DO_NOT_TRACK: '1', NO_COLOR: '1', ...environment },
        maxBuffer: 64 * 1024 * 1024,
      },
      (error, stdout, stderr) =>
        resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }),
    )
  })
}
