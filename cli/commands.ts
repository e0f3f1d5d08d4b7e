import type { Command } from 'commander'
import { start } from './start.ts'

/** The commands, in the order in which an adopter meets them. */
export const commands: Command[] = [start]
