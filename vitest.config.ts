import { join } from 'node:path'
import { configDefaults, defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

// Each worker has a Node of its own, which then need not compile what the others have compiled.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, 'node_modules/.cache/compiled')
// A call of the Supabase CLI, which is a Bun program, ends before its code is worth optimising: a third of the call.
process.env.BUN_JSC_useDFGJIT ??= '0'

/** The longest test files. They begin first, so that none of them runs alone at the end. */
const long = [
  'stack/start',
  'cli/start',
  'properties/stories',
  'properties/year',
  'stack/demo',
  'cli/adopter',
  'cli/remove',
  'security/session-settings',
  'properties/code-lifecycle',
  'concurrency/money',
  'properties/told',
  'properties/mixed-events',
  'schema/upgrades',
  'schema/release-faults',
  'cli/upgrade',
  'cli/init',
  'stack/commands',
  'cli/doctor',
  'cli/replay',
  'cli/setup',
  'sql/plans',
  'hosts/nginx',
  'stack/page',
  'stack/restore',
  'stack/auth',
  'functions/link-outage',
]

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const found = long.findIndex((name) => moduleId.endsWith(`tests/${name}.test.ts`))
      return found < 0 ? long.length : found
    }
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b))
  }
}

// biome-ignore lint/style/noDefaultExport: vitest reads the default export
export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    // These are for `npm run soak`: a release of a copy of this repository, what is rare of commands, and a grown project.
    exclude: [
      ...configDefaults.exclude,
      ...(process.env.RELEASE_A_COPY ? [] : ['tests/stack/release.test.ts']),
      ...(process.env.SOAK_CLI ? [] : ['tests/stack/start-rarely.test.ts']),
      ...(process.env.GROWN_ROWS ? [] : ['tests/sql/grown.test.ts']),
    ],
    globalSetup: ['tests/support/global.ts'],
    sequence: { sequencer: LongestFirst },
    testTimeout: 60_000,
    hookTimeout: 30_000,
    // Some wait for processes and for time to pass: a third worker uses the two processors meanwhile.
    maxWorkers: 3,
    // A worker keeps the modules it has loaded: to load them anew for each file takes a sixth of the time.
    isolate: false,
  },
})
