/**
 * The comment of a public function: what it does, then, after an empty line, `group: …`, a line for each argument,
 * `callers: …`, `errors: …` and `timeout: …`, and `returns: a row` where a result of one row at most is never none. A line
 * that begins with two spaces goes on with the one before.
 */
export type Documentation = {
  summary: string
  group: string
  arguments: Map<string, string>
  callers: string
  errors: string[]
  timeout: string
  /** Said of the result where the type says less. */
  returned: string | null
}

const fields = ['group', 'callers', 'errors', 'timeout', 'returns']

/** Parses a comment, or refuses it with the reason. */
export function parseDocumentation(
  comment: string,
  refuse: (reason: string) => never,
): Documentation {
  const [head = '', ...tail] = comment.split('\n\n')
  const lines = tail
    .join('\n')
    .replace(/\n {2}/g, ' ')
    .split('\n')
  const entries = new Map<string, string>()
  for (const line of lines) {
    const [, name, text] = /^(\w+): (.+)$/.exec(line) ?? []
    if (!name || !text)
      return refuse(`its comment has the line "${line}", which is no "name: text"`)
    if (entries.has(name)) return refuse(`its comment states ${name} twice`)
    entries.set(name, text)
  }
  const field = (name: string) => entries.get(name) ?? refuse(`its comment states no ${name}`)
  const errors = field('errors')
  return {
    summary: head.replace(/^public: /, '').replaceAll('\n', ' '),
    group: field('group'),
    arguments: new Map([...entries].filter(([name]) => !fields.includes(name))),
    callers: field('callers'),
    errors: errors === 'none' ? [] : errors.split(', '),
    timeout: field('timeout'),
    returned: entries.get('returns') ?? null,
  }
}
