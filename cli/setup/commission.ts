import { InvalidArgumentError } from 'commander'
import type { Reward } from '../../client/terms.ts'

/** Stripe's currencies without a minor unit, and those whose minor unit is a thousandth. */
const withoutDecimals = 'bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf'.split(' ')
const withThreeDecimals = 'bhd iqd jod kwd lyd omr tnd'.split(' ')

const known = new Set(Intl.supportedValuesOf('currency').map((name) => name.toLowerCase()))

/** Reads `20%`, `5 usd`, or one amount for each of several currencies: `5 usd, 4.50 eur`. */
export function parseCommission(text: string): Reward {
  const [, percent] = /^\s*(\d{1,3}(?:\.\d{1,2})?)\s*%\s*$/.exec(text) ?? []
  if (percent !== undefined) {
    const bps = Math.round(Number(percent) * 100)
    if (bps > 10_000) throw new InvalidArgumentError('A percentage is 100 at most.')
    return { kind: 'percent', bps }
  }
  const amounts = text.split(',').map(parseAmount)
  const twice = amounts.find(([currency], at) => amounts.findIndex(([c]) => c === currency) !== at)
  if (twice) throw new InvalidArgumentError(`${twice[0]} is there twice.`)
  return { kind: 'flat', amount: Object.fromEntries(amounts) }
}

function parseAmount(text: string): [currency: string, amount: number] {
  const [, whole = '', fraction = '', name = ''] =
    /^\s*(\d{1,9})(?:\.(\d{1,3}))?\s*([a-z]{3})\s*$/i.exec(text) ?? []
  const currency = name.toLowerCase()
  if (!currency) throw new InvalidArgumentError('Write 20%, “5 usd”, or “5 usd, 4.50 eur”.')
  if (!known.has(currency)) throw new InvalidArgumentError(`${name} is no currency.`)
  const decimals = decimalsOf(currency)
  if (fraction.length > decimals)
    throw new InvalidArgumentError(`${name} has ${decimals || 'no'} decimals.`)
  return [currency, Number(whole + fraction.padEnd(decimals, '0'))]
}

function decimalsOf(currency: string): number {
  if (withoutDecimals.includes(currency)) return 0
  return withThreeDecimals.includes(currency) ? 3 : 2
}
