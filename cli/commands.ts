import type { Command } from 'commander'
import { codes } from './codes.ts'
import { doctor } from './doctor.ts'
import { init } from './init.ts'
import { parked } from './parked.ts'
import { remove } from './remove.ts'
import { replay } from './replay.ts'
import { setup } from './setup.ts'
import { start } from './start.ts'
import { stripe } from './stripe.ts'
import { upgrade } from './upgrade.ts'

/** The commands, in the order in which an adopter meets them. */
export const commands: Command[] = [
  init,
  upgrade,
  setup,
  doctor,
  start,
  codes,
  parked,
  replay,
  stripe,
  remove,
]
