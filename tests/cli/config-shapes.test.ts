/** Edits of `supabase/config.toml` on generated files: nothing else changes, whatever the shape. */
import fc from 'fast-check'
import { parse } from 'smol-toml'
import { expect, test } from 'vitest'
import { addToConfig, removeFromConfig } from '../../cli/repository/config.ts'

const functions = ['referbase-link', 'referbase-stripe-webhook']

const comment = fc.constantFrom('', ' # a note', ' # schemas = ["x"], y', ' # ]')
const ownLine = fc.constantFrom('', '# [api]', '# [functions.referbase-link]', '  # "referral",')
const quoted = fc.constantFrom('"public"', '"storage"', "'graphql_public'", '"my schema"')

const array = fc
  .record({ elements: fc.uniqueArray(quoted), lines: fc.boolean(), comma: fc.boolean(), comment })
  .map(({ elements, lines, comma, comment }) => {
    const end = comma && elements.length > 0 ? ',' : ''
    if (!lines) return `[${elements.join(', ')}${end}]`
    const inner = elements.map((element, i) => {
      const separator = i < elements.length - 1 ? ',' : end
      return `  ${element}${separator}${comment}\n`
    })
    return `[${comment}\n${inner.join('')}]`
  })

/** Lines before the first header, and sections. */
type Part = { top: string; sections: readonly string[] }

const api: fc.Arbitrary<Part> = fc.oneof(
  fc.constant({ top: '', sections: [] }),
  fc
    .tuple(fc.constantFrom('[api]', '[ api ]', '["api"]'), array, comment, fc.boolean())
    .map(([header, schemas, note, first]) => ({
      top: '',
      sections: [
        first
          ? `${header}${note}\nschemas = ${schemas}${note}\nport = 1`
          : `${header}${note}\nport = 1\n\n  schemas = ${schemas}`,
      ],
    })),
  comment.map((note) => ({ top: '', sections: [`[api]${note}\nport = 1${note}`] })),
  array.map((schemas) => ({ top: `api.port = 1\n"api".schemas = ${schemas}\n`, sections: [] })),
  fc.constant({ top: 'api.port = 1\n', sections: ['[api.tls]\nenabled = false'] }),
  array
    .filter((schemas) => !schemas.includes('\n'))
    .map((schemas) => ({ top: `api = { port = 1, schemas = ${schemas} }\n`, sections: [] })),
  fc.constant({ top: 'api = { port = 1 } # api\n', sections: [] }),
)

const names = fc.uniqueArray(fc.constantFrom('hello', 'link', 'referbase-link', '"a b"'))
const jwt = (value: boolean) => `verify_jwt = ${value}`

const functionsPart: fc.Arbitrary<Part> = fc
  .tuple(names, fc.boolean(), comment)
  .chain(([names, value, note]) =>
    fc.constantFrom<Part>(
      {
        top: '',
        sections: names.map((name) => `[functions.${name}]${note}\n  ${jwt(value)}${note}`),
      },
      {
        top: '',
        sections: [
          `[functions]${note}\n${names.map((name) => `${name}.${jwt(value)}\n`).join('')}`,
        ],
      },
      {
        top: '',
        sections: [
          `[functions]\n${names.map((n) => `${n} = { ${jwt(value)} }${note}\n`).join('')}`,
        ],
      },
      {
        top: names.map((name) => `functions.${name}.${jwt(value)}${note}\n`).join(''),
        sections: [],
      },
      {
        top: `functions = { ${names.map((name) => `${name} = { ${jwt(value)} }`).join(', ')} }\n`,
        sections: [],
      },
      {
        top: `functions = { ${names.map((name) => `${name}.${jwt(value)}`).join(', ')} }\n`,
        sections: [],
      },
    ),
  )

const others = [
  '[db]\nport = 2',
  '[remotes.a.api]\nschemas = ["x"]',
  '[[list]]\na = """\n[api]\n"""',
]

const configs = fc
  .record({
    api,
    functions: functionsPart,
    others: fc.subarray(others),
    order: fc.infiniteStream(fc.nat()),
    ownLine,
    windows: fc.boolean(),
    end: fc.constantFrom('', '\n', '\n\n# the end'),
  })
  .map(({ api, functions, others, order, ownLine, windows, end }) => {
    const sections = [...api.sections, ...functions.sections, ...others]
      .map((section) => ({ section, place: order.next().value ?? 0 }))
      .toSorted((a, b) => a.place - b.place)
      .map(({ section }) => `${ownLine}\n${section}\n`)
    const text = `project_id = "a"\n${api.top}${functions.top}${sections.join('')}${ownLine}${end}`
    return windows ? text.replaceAll('\n', '\r\n') : text
  })

test('every comment and every other value stays, and a second time changes nothing', () => {
  fc.assert(
    fc.property(configs, (before) => {
      const after = addToConfig(before, functions)
      expect(addToConfig(after, functions)).toBe(after)
      expect(commentsOf(after)).toEqual(commentsOf(before))
      if (before.includes('\r')) expect(after).not.toMatch(/[^\r]\n/)
      const { api, functions: all, ...rest } = read(after)
      const { api: oldApi, functions: old, ...oldRest } = read(before)
      expect(rest).toEqual(oldRest)
      const schemas = oldApi?.schemas ?? ['public', 'graphql_public']
      expect(api).toEqual({ ...oldApi, schemas: [...schemas, 'referral'] })
      expect(all).toEqual({ ...old, ...settings })
    }),
    { numRuns: 200 },
  )
})

test('what was added is removed, and nothing else', () => {
  fc.assert(
    fc.property(configs, (before) => {
      const {
        api,
        functions: all,
        ...rest
      } = read(removeFromConfig(addToConfig(before, functions), functions))
      const { api: oldApi, functions: old, ...oldRest } = read(before)
      expect(rest).toEqual(oldRest)
      expect(api).toEqual({ schemas: ['public', 'graphql_public'], ...oldApi })
      const { 'referbase-link': _ours, ...others } = old ?? {}
      expect(all ?? {}).toEqual(others)
    }),
    { numRuns: 200 },
  )
})

const settings = Object.fromEntries(
  functions.map((name) => [
    name,
    { verify_jwt: false, entrypoint: `./functions/${name}/index.js` },
  ]),
)

type Config = { api?: { schemas?: string[] }; functions?: Record<string, unknown> }
const read = (text: string) => parse(text) as Config

/** Sorted, because an element that is added before a comment moves it to its line. */
const commentsOf = (text: string) => (text.match(/#[^\r\n]*/g) ?? []).toSorted()
