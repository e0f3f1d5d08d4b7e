/**
 * Names the first number in a value that JSON has not, such as NaN: null would be sent, which removes a limit. Undefined if
 * there is none.
 *
 * @example lostNumber('terms', { minimum_sale: { usd: Number.NaN } }) // 'terms.minimum_sale.usd: a valid number'
 */
export function lostNumber(name: string, value: unknown): string | undefined {
  if (typeof value === 'number' && !Number.isFinite(value)) return `${name}: a valid number`
  if (typeof value !== 'object' || value === null) return undefined
  return Object.entries(value)
    .map(([key, inner]) => lostNumber(`${name}.${key}`, inner))
    .find(Boolean)
}
