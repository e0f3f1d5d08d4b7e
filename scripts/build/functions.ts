/** The edge functions as an adopter gets them: one file each, with our own code in it and nothing else. */
import { readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { type Plugin, rolldown } from 'rolldown'
import { CliError } from '../../cli/cli-error.ts'
import { readProject } from '../stack/project.ts'
import { root } from '../stack/root.ts'

const { imports } = JSON.parse(readFileSync(join(root, 'functions/deno.json'), 'utf8')) as {
  imports: Record<string, string>
}

/** Writes `<folder>/<name>/index.js` of each function, or of other entry points. */
export async function bundleFunctions(
  folder: string,
  functions: ReadonlyMap<string, string> = ownFunctions(),
): Promise<void> {
  await Promise.all(
    [...functions].map(([name, input]) => bundle(input, join(folder, name, 'index.js'))),
  )
}

const ownFunctions = () =>
  new Map(readProject(root).functions.map(({ name, entrypoint }) => [name, entrypoint]))

/** Libraries are imported as `npm:<package>@<version>`, which Deno reads without an import map. */
const libraries: Plugin = {
  name: 'libraries',
  resolveId: (id) =>
    id.startsWith('.') || isAbsolute(id) ? null : { id: specifierOf(id), external: true },
}

function specifierOf(id: string): string {
  const [, name = '', subpath = ''] = /^((?:@[^/]+\/)?[^/]+)(.*)$/.exec(id) ?? []
  const specifier = imports[name]
  if (!specifier) throw new CliError(`functions/deno.json does not have the import "${id}".`)
  return specifier + subpath
}

/** Statements stay as they are written: nothing is shortened, and nothing unused is removed. */
async function bundle(input: string, file: string): Promise<void> {
  const bundled = await rolldown({ input, plugins: [libraries], treeshake: false })
  await bundled.write({ file, format: 'esm', codeSplitting: false, minify: false })
}
