import { styleText } from 'node:util'
import type { Line } from './line.ts'

const signs = { ok: '✓', wrong: '✗', unchecked: '–' }
const colours = { ok: 'green', wrong: 'red', unchecked: 'yellow' } as const

/** The lines of a group as text, with what to do below each that is not right. */
export function groupText(title: string, lines: Line[], inColour: boolean): string {
  const shown = lines.map(({ state, message, remedy }) => {
    const sign = inColour ? styleText(colours[state], signs[state]) : signs[state]
    return `  ${sign} ${message}\n${remedy ? `    ${remedy}\n` : ''}`
  })
  return `${title}\n${shown.join('')}\n`
}

/** How many checks ended how. */
export function summaryText(lines: Line[]): string {
  const count = (state: Line['state']) => lines.filter((line) => line.state === state).length
  return `${count('ok')} right, ${count('wrong')} wrong, ${count('unchecked')} not checked\n`
}
