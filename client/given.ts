type Optional<Values> = { [Name in keyof Values]?: Exclude<Values[Name], undefined> }

/**
 * The arguments of a call: the required ones, and those of the optional ones that are given. Throws for a required argument
 * that is missing, and the call then returns `invalid_argument`.
 *
 * @example given({ code_id: codeId }, { reason }) // { code_id: '…' } without a reason
 */
export function given<Required extends object, Values extends object = object>(
  values: Required,
  optional: Values = {} as Values,
): Required & Optional<Values> {
  for (const [name, value] of Object.entries(values)) required(name, value)
  const known = Object.entries(optional).filter(([, value]) => value !== undefined)
  return { ...values, ...(Object.fromEntries(known) as Optional<Values>) }
}

/** A required argument. Throws if it is missing. */
export function required<Value>(name: string, value: Value): Value {
  if (value === undefined || value === null) throw new TypeError(`${name}: required`)
  return value
}
