/**
 * `npm run build`: compiles client/ into dist/, as ES modules, and into dist/cjs/ for `require`. Each has its own types, because
 * TypeScript takes the types of `import` for an ES module only.
 */
import { spawn } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError, runMain } from './stack/cli-error.ts'
import { root } from './stack/root.ts'

const dist = join(root, 'dist')

await runMain(async () => {
  await rm(dist, { recursive: true, force: true })
  await Promise.all(['tsconfig.build.json', 'tsconfig.build-cjs.json'].map(compile))
  await writeFile(join(dist, 'cjs/package.json'), '{ "type": "commonjs" }\n')
})

async function compile(project: string): Promise<void> {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const child = spawn(process.execPath, [tsc, '--project', project], {
    cwd: root,
    stdio: 'inherit',
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) throw new CliError(`tsc --project ${project} failed`)
}
