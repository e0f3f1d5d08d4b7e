import type { Command } from 'commander'

/** The commands, in the order in which an adopter meets them. */
export const commands: Command[] = []
