/** How an option is treated: it may be missing, it is required, or it is required and can be null. */
export const optional = 0 as const
export const required = 1 as const
export const nullable = 2 as const

/**
 * How each option is treated. For `after`, the last row of a page, a text names the column that is sent, and a list names the
 * columns that the row must have.
 */
export type Forms = Record<string, 0 | 1 | 2 | string | string[]>

/** Arguments by their names in the database. */
export type Values = Record<string, unknown>

const isText = (value: unknown) => typeof value === 'string'
const isPageSize = (value: unknown) =>
  Number.isInteger(value) && (value as number) > 0 && (value as number) <= 1000

/** Options whose wrong values the database would accept and misread. */
const rules: Record<string, [isValid: (value: unknown) => boolean, must: string]> = {
  code: [isText, 'a text'],
  reason: [isText, 'a text'],
  grace: [isText, 'an interval, such as "2 days"'],
  pageSize: [isPageSize, '1 to 1,000'],
}

/**
 * Turns options into arguments: `maxUses` into `max_uses`. Returns a text that says what is wrong with them instead, such as
 * an unknown option. `orgId` is the organisation unless the options name one.
 *
 * @example toArguments({ codeId: required, reason: optional }, { codeId }) // { code_id: '…' }
 */
export function toArguments(forms: Forms, options: unknown = {}, orgId?: string): Values | string {
  // No list, Map or Date: what is in them would be ignored.
  if ((options as object | null)?.constructor !== Object) return 'options: an object'
  const values: Values = { ...(options as object) }
  const names = Object.keys(forms)
  for (const name in values)
    if (!names.includes(name))
      return `${name}: no such option. The options are: ${names.filter((known) => known !== 'orgId' || !orgId).join(', ')}`
  values.orgId ??= orgId
  const args: Values = {}
  for (const [name, form] of Object.entries(forms)) {
    const value = values[name]
    const fault = faultOf(name, form, value)
    if (fault) return `${name}: ${fault}`
    if (value !== undefined)
      args[toColumn(name)] = typeof form === 'string' ? Object(value)[form] : value
  }
  return args
}

/** Returns what the value must be, if it is not. */
function faultOf(name: string, form: Forms[string], value: unknown): string | false | undefined {
  if (value === undefined || value === null)
    return (form === required || (form === nullable && value === undefined)) && 'required'
  const columns = typeof form === 'number' ? [] : [form].flat()
  if (columns.some((column) => Object(value)[column] === undefined))
    return 'the last row of the previous page'
  const [isValid, must] = rules[name] ?? []
  if (isValid?.(value) === false) return must
  // JSON has no such number or date. Null would be sent, which removes a limit.
  return JSON.stringify(value) === 'null' && 'a valid number or date'
}

/** `maxUses` as the database has it: `max_uses`. */
const toColumn = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
