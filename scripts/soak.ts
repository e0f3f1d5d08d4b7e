/**
 * `npm run soak -- --minutes N`: the model of the life of codes and the races, over and over with new seeds, for as long.
 * Each round prints its seed; a failing one is run again by MODEL_SEED=… npx vitest run tests/properties.
 */
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { root } from './stack/root.ts'
import { runMain, Sentence } from './stack/sentence.ts'

await runMain(async () => {
  const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } })
  const minutes = Number(values.minutes)
  if (!(minutes > 0)) throw new Sentence('Usage: npm run soak -- --minutes N')
  const until = Date.now() + minutes * 60_000
  let rounds = 0
  for (; Date.now() < until; rounds++) {
    const seed = String(Math.floor(Math.random() * 2 ** 31))
    process.stdout.write(`round ${rounds + 1}, seed ${seed}\n`)
    const { status } = spawnSync(
      process.execPath,
      [
        'node_modules/vitest/vitest.mjs',
        'run',
        '--reporter=dot',
        'tests/properties',
        'tests/concurrency',
      ],
      {
        cwd: root,
        stdio: ['ignore', 'ignore', 'inherit'],
        env: { ...process.env, MODEL_SEED: seed, MODEL_RUNS: '500', MUTATION: 'select' },
      },
    )
    if (status !== 0) throw new Sentence(`Round ${rounds + 1} failed, with seed ${seed}.`)
  }
  process.stdout.write(
    `${rounds} rounds of 500 lives of 50 commands or more, and of every race: no failure\n`,
  )
})
