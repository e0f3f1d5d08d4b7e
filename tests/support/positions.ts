/** Places of SQL that depend on where a column stands in its table. Composite types may be built by position: they grow at their end. */

/** A sentence for each such place in the code of a file, given the names of all tables. */
export function positionsIn(code: string, tables: string[]): string[] {
  const table = `(?:${tables.map((name) => name.replace('.', '[.]')).join('|')})`
  const inserted = String.raw`insert\s+into\s+${table}(?:\s+as\s+\w+)?\s+`
  const found = (what: string, pattern: string) =>
    [...code.matchAll(new RegExp(pattern, 'gs'))].map(([text]) => `${what}: ${text.slice(0, 90)}`)
  return [
    ...found(
      'an insert without columns',
      String.raw`${inserted}(?!\s|as\s|\(|select\s+\w+\.\*\s*(?:from|on|;))`,
    ),
    ...found(
      'an insert of a whole row into columns',
      String.raw`${inserted}\([^)]*\)\s+select\s+(?:\w+\.)?\*`,
    ),
    ...found('a cast to a table', String.raw`(?<!\bnull)::${table}\b(?!\[|\.)`),
    ...functionsOf(code).flatMap((text) => positionsInFunction(text, table)),
  ]
}

const functionsOf = (code: string) =>
  [...code.matchAll(/^create (?:or replace )?function .*?^\$\$;/gms)].map(([text]) => text)

/** What is returned or stored by position as a row of a table. */
function positionsInFunction(text: string, table: string): string[] {
  const [name] = /\S+\.\w+/.exec(text) ?? []
  const places: string[] = []
  const returned = String.raw`\nreturns (?:setof )?${table}\n`
  if (new RegExp(returned).test(text)) {
    if (/\breturn (?:next )?(?:row\s*)?\(/.test(text)) places.push('returns a row by position')
    for (const [, list = ''] of text.matchAll(/\breturn query\s+select\s+(\S+)/g))
      if (!isWholeRow(list)) places.push('returns columns by position')
  }
  for (const [, variable = ''] of text.matchAll(
    new RegExp(String.raw`\b([vp]_\w+) (?:constant )?${table}\b(?!\[)`, 'g'),
  )) {
    const into = String.raw`\b(?:select|returning)\s+((?:(?!\bselect\b|\breturning\b|;).)*?)\s+into\s+(?:strict\s+)?${variable}\b(?!\.)`
    for (const [, list = ''] of text.matchAll(new RegExp(into, 'gs')))
      if (!isWholeRow(list)) places.push(`stores ${list} in ${variable} by position`)
    if (new RegExp(String.raw`\b${variable}\s*:=\s*(?:row\s*)?\([^)]*,`).test(text))
      places.push(`makes ${variable} by position`)
    if (new RegExp(String.raw`\bfor ${variable} in\s+select\s+(?!\w+\.\*)`).test(text))
      places.push(`loops over columns in ${variable} by position`)
  }
  return places.map((place) => `${name} ${place}`)
}

const isWholeRow = (list: string) => /^(?:\w+\.)?\*$/.test(list.trim())
