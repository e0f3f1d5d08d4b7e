import { spawnSync } from 'node:child_process'
import { type Browser, chromium } from 'playwright-core'

/** Starts the Chromium of this machine. Nothing is downloaded. */
export async function startChromium(): Promise<Browser> {
  const found = spawnSync('/bin/sh', ['-c', 'command -v chromium'], { encoding: 'utf8' })
  const executablePath = found.stdout.trim()
  if (!executablePath)
    throw new Error('Chromium is missing: install it, on Debian with "apt-get install chromium"')
  // As root it runs without its sandbox only, and containers have little shared memory.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] })
}
