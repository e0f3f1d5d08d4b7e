import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, inject, test } from 'vitest'
import { execute } from '../../scripts/stack/database.ts'
import { type StackEnvironment, spawnStack } from '../../scripts/stack/spawn.ts'
import { childrenOf, commandLine, type Ended, start, until } from '../support/processes.ts'

async function demoOn(environment: StackEnvironment): Promise<Ended> {
  const folder = mkdtempSync(join(tmpdir(), 'referbase-demo-'))
  try {
    const file = join(folder, 'env')
    writeFileSync(
      file,
      Object.entries(environment)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    )
    return await start('demo.ts', ['--env-file', file]).ended
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('the demo shows every step and ends with 0, twice on one stack', async () => {
  for (let time = 1; time <= 2; time++) {
    const { code, stdout, stderr } = await demoOn(inject('stack'))
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout.match(/^✓/gm)).toHaveLength(16)
    expect(stdout).toContain('All 16 steps happened')
  }
})

test('the demo fails at the step that does not happen', async () => {
  const broken = {
    'A second code is refused while the first is active': 'drop index referral.codes_one_active',
    'A second redemption, of somebody else’s code, is refused': `
      create or replace function referral_private.redeem_code(
        p_code text, p_click_id uuid default null, p_provenance text default 'typed', p_channel text default null
      )
      returns setof referral.redeemed_code language sql security definer as $$
        select md5('one')::uuid, null::uuid, null::uuid, $1, 'pending'::referral.redemption_status, now() $$`,
    'Stripe says three times, signed, that the friend has paid':
      'drop function referral.ingest_stripe_event',
  }
  const stack = await spawnStack()
  try {
    for (const [title, change] of Object.entries(broken).reverse()) {
      await execute(stack.environment.DATABASE_URL, change)
      const { code, stderr } = await demoOn(stack.environment)
      expect(code).toBe(1)
      expect(stderr).toContain(`The demo failed at step`)
      expect(stderr).toContain(title)
    }
  } finally {
    await stack.stop()
  }
})

test('the demo explains a wrong call in one sentence', async () => {
  for (const args of [['--nope'], ['--env-file', '/nowhere/env']]) {
    const { code, stdout, stderr } = await start('demo.ts', args).ended
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr.trim().split('\n')).toHaveLength(1)
  }
})

test('a stack ends with the demo that started it, also when that is killed', async () => {
  const demo = start('demo.ts')
  await until(() => childrenOf(demo.child.pid).length > 0)
  const stack = childrenOf(demo.child.pid)
  demo.child.kill('SIGKILL')
  await until(() => stack.map(commandLine).every((line) => line === ''))
})
