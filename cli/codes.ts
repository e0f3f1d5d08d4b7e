import { Command } from 'commander'
import { exportCommand } from './codes/export.ts'
import { importCommand } from './codes/import.ts'

/** `referbase codes`: an organisation's codes, from a file and to one. */
export const codes = new Command('codes')
  .description('Imports campaign codes from a CSV file, and exports all codes to one.')
  .addCommand(importCommand)
  .addCommand(exportCommand)
