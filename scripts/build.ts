/**
 * `npm run build`: compiles client/ into dist/, as ES modules, and into dist/cjs/ for `require`. Each has its own types, because
 * TypeScript takes the types of `import` for an ES module only. Bundles cli/ into the one file dist/cli.js, and each edge
 * function into dist/functions/<name>/index.js.
 */
import { spawn } from 'node:child_process'
import { chmod, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { rolldown } from 'rolldown'
import { CliError, runMain } from '../cli/cli-error.ts'
import { bundleFunctions } from './build/functions.ts'
import { root } from './stack/root.ts'

const dist = join(root, 'dist')

await runMain(async () => {
  await rm(dist, { recursive: true, force: true })
  await Promise.all([
    compile('tsconfig.build.json'),
    compile('tsconfig.build-cjs.json'),
    bundleCli(),
    bundleFunctions(join(dist, 'functions')),
  ])
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

/** One file without dependencies, so that the command runs from the package alone. */
async function bundleCli(): Promise<void> {
  const bundle = await rolldown({
    input: join(root, 'cli/main.ts'),
    platform: 'node',
    // The package says that none of its modules does something when it is loaded. This one does.
    treeshake: { moduleSideEffects: [{ test: /\/cli\/node-20\.ts$/, sideEffects: true }] },
  })
  await bundle.write({
    file: join(dist, 'cli.js'),
    format: 'esm',
    codeSplitting: false,
    banner: '#!/usr/bin/env node',
  })
  await chmod(join(dist, 'cli.js'), 0o755)
}
