/** Throws a TypeError that names an option that there is not, such as a misspelt one. */
export function onlyOptions(options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw new TypeError(`${unknown}: no such option. The options are: ${known.join(', ')}`)
}
