import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The secrets of a local stack. The API keys have the form of a hosted project's. */
export type Keys = {
  publishable: string
  secret: string
  jwtSecret: string
  webhookSecret: string
  proxySecret: string
}

/** Reads the keys from the folder. It generates the missing ones, and stores them. */
export function keysOf(home: string): Keys {
  const file = join(home, 'keys.json')
  const kept: Partial<Keys> = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
  const keys: Keys = {
    publishable: `sb_publishable_${draw()}`,
    secret: `sb_secret_${draw()}`,
    jwtSecret: draw(),
    webhookSecret: `whsec_${draw()}`,
    proxySecret: draw(),
    ...kept,
  }
  writeFileSync(file, JSON.stringify(keys, null, 2), { mode: 0o600 })
  return keys
}

function draw(): string {
  return randomBytes(32).toString('hex')
}
