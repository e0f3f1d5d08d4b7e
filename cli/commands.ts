import type { Command } from 'commander'
import { codes } from './codes.ts'
import { parked } from './parked.ts'
import { replay } from './replay.ts'
import { stripe } from './stripe.ts'

/** The commands, in the order in which an adopter meets them. */
export const commands: Command[] = [codes, parked, replay, stripe]
