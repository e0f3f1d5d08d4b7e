import type { Command } from 'commander'
import { doctor } from './doctor.ts'
import { setup } from './setup.ts'

/** The commands, in the order in which an adopter meets them. */
export const commands: Command[] = [setup, doctor]
