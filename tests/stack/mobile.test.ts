/** docs/mobile.md: its TypeScript compiles and runs, its requests are answered as it says, its names exist. */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { referralError } from '../../client/errors.ts'
import { root } from '../../scripts/stack/root.ts'
import { blocksOf } from '../support/blocks.ts'
import { operatorOverHttp, sceneOverHttp, stackDatabase } from '../support/http.ts'

const stack = inject('stack')
const sql = stackDatabase()
const blocks = blocksOf(join(root, 'docs/mobile.md'))
const files = blocks.filter(({ name, language }) => name && language.startsWith('ts'))

/** Records a click on the code, as the function does, and gives its id. */
async function click(code: string): Promise<string> {
  const click_id = crypto.randomUUID()
  await operatorOverHttp().rpc('record_click', { code, click_id }).throwOnError()
  return click_id
}

describe('the TypeScript', () => {
  // Inside the repository, so that `referbase` is the package itself.
  const app = join(root, '.referbase', `mobile-${crypto.randomUUID()}`)
  beforeAll(() => {
    mkdirSync(app, { recursive: true })
    for (const { name = '', text } of files) writeFileSync(join(app, name), text)
    cpSync('tests/fixtures/react-native', app, { recursive: true })
    for (const name of [
      'react-native',
      'expo-application',
      '@react-native-async-storage/async-storage',
    ]) {
      const folder = join(app, 'node_modules', name)
      mkdirSync(folder, { recursive: true })
      writeFileSync(join(folder, 'package.json'), '{"type":"module","exports":"./index.js"}')
      const phone = JSON.stringify(join(app, 'phone.mjs'))
      writeFileSync(
        join(folder, 'index.js'),
        `export * from ${phone}\nexport { default } from ${phone}`,
      )
    }
  })
  afterAll(() => {
    rmSync(app, { recursive: true })
    if (readdirSync(dirname(app)).length === 0) rmdirSync(dirname(app))
  })

  test('is three files', () => {
    expect(files.map(({ name }) => name)).toEqual([
      'referral.ts',
      'PasteReferral.tsx',
      'MyCode.tsx',
    ])
  })

  test('compiles, as strictly as this project does', () => {
    const compilerOptions = {
      ...JSON.parse(readFileSync('tsconfig.json', 'utf8')).compilerOptions,
      moduleResolution: 'bundler',
      module: 'esnext',
      jsx: 'react-jsx',
      typeRoots: [join(root, 'node_modules/@types')],
    }
    writeFileSync(join(app, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['.'] }))
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    expect(() => execFileSync(process.execPath, [tsc], { cwd: app, stdio: 'pipe' })).not.toThrow()
  })

  /** Runs the app on a phone of such settings until a code was answered. */
  function run(settings: Record<string, string>) {
    const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY } = stack
    const env = {
      PATH: process.env.PATH,
      EXPO_PUBLIC_SUPABASE_URL: SUPABASE_URL,
      EXPO_PUBLIC_SUPABASE_PUBLISHABLE_KEY: SUPABASE_PUBLISHABLE_KEY,
      EXPO_PUBLIC_ORG_ID: crypto.randomUUID(),
      ...settings,
    }
    const options = { cwd: app, env, encoding: 'utf8', timeout: 20_000 } as const
    return JSON.parse(execFileSync(process.execPath, ['run.mjs'], options))
  }
  const redemption = async (user: string) => {
    const [row] = await sql`
      select provenance, channel, click_id from referral.redemptions where referee_id = ${user}`
    return row
  }

  test('redeems what Play kept, once somebody signs in', async () => {
    const { code } = await sceneOverHttp()
    const clickId = await click(code)
    const answer = run({ PLATFORM: 'android', REFERRER: `ref=${code}&click=${clickId}` })
    expect(answer).toMatchObject({ code, beforeSignIn: 0 })
    expect(await redemption(answer.userId)).toEqual({
      provenance: 'install_referrer',
      channel: null,
      click_id: clickId,
    })
  })

  test('redeems the link that opened it, rather than what Play kept', async () => {
    const { code } = await sceneOverHttp()
    const OPENED = `https://go.example.org/link/${code}?via=qr`
    const answer = run({ PLATFORM: 'android', OPENED, REFERRER: 'ref=OTHER-CODE' })
    expect(answer).toMatchObject({ code })
    expect(await redemption(answer.userId)).toMatchObject({ provenance: 'typed', channel: 'qr' })
  })

  test('redeems without a click that proves nothing any more', async () => {
    const { code } = await sceneOverHttp()
    const OPENED = `https://example.org/welcome?ref=${code}&click=${crypto.randomUUID()}`
    const answer = run({ PLATFORM: 'ios', OPENED })
    expect(answer).toMatchObject({ code })
    expect(await redemption(answer.userId)).toMatchObject({ provenance: 'typed' })
  })

  test.for([
    ['an error of the database', 500, { code: 'XX000', message: 'internal error' }],
    ['one that nobody knows', 409, { code: '23505', message: 'duplicate key' }],
    ['a key that is refused', 401, { message: 'Invalid API key' }],
    ['a schema that is not exposed', 406, { code: 'PGRST106', message: 'Invalid schema' }],
    ['an argument that is wrong', 400, { code: 'invalid_argument', message: 'No.', hint: null }],
    ['a page in place of an answer', 200, '<html>'],
  ] as const)('keeps the code after %s, and redeems it later', async ([, status, body]) => {
    const { code } = await sceneOverHttp()
    const OPENED = `https://go.example.org/link/${code}`
    const BROKEN = JSON.stringify({ status, body })
    const answer = run({ PLATFORM: 'ios', OPENED, BROKEN })
    expect(answer).toMatchObject({ code, broken: 1 })
    expect(await redemption(answer.userId)).toMatchObject({ provenance: 'typed' })
  })

  test('asks Play again where it does not answer', async () => {
    const { code } = await sceneOverHttp()
    const REFERRER = `ref=${code}`
    expect(run({ PLATFORM: 'android', REFERRER, PLAY: 'away at first' })).toMatchObject({ code })
  })

  test('takes a link while it runs, passes over others, and says what became of it', () => {
    const TAPPED = 'https://go.example.org/link/NOBODYS-CODE'
    const answer = run({ PLATFORM: 'android', OPENED: 'https://evil.example/link/EVIL', TAPPED })
    expect(answer).toMatchObject({ error: 'code_not_found' })
  })
})

describe('the HTTP requests', () => {
  test('are answered as the document says, in its order', async () => {
    const { org, friend, code } = await sceneOverHttp()
    const values = {
      PUBLISHABLE_KEY: stack.SUPABASE_PUBLISHABLE_KEY,
      ACCESS_TOKEN: friend.token,
      CLICK_ID: await click(code),
      ORG_ID: org,
      '7KQ2-M9XT': code,
      '7kq2 m9xt': code.toLowerCase().replace('-', ' '),
    }
    const requests = blocks.flatMap(({ language, text }, at) =>
      language === 'http' ? [{ text, expected: blocks[at + 1] }] : [],
    )
    expect(requests).toHaveLength(6)
    for (const { text, expected } of requests) {
      const { status, body } = await send(text, values)
      const told = expected?.language === 'json' ? JSON.parse(expected.text) : undefined
      const isError = told !== undefined && 'hint' in told
      expect(status, text).toBe(isError ? 400 : 200)
      if (isError) expect(body).toEqual(told)
      else if (told) expect(formOf(body)).toEqual(formOf(told))
      else expect(Array.isArray(body), text).toBe(true)
    }
    const answers = requests.map(({ expected }) => expected?.language)
    expect(answers.filter((language) => language !== 'json')).toEqual(['http'])
  })

  /** Whether an answer is a list, and what a row has. */
  const formOf = (answer: object | object[]) => ({
    isList: Array.isArray(answer),
    keys: Object.keys([answer].flat()[0] ?? {}).sort(),
  })

  /** Sends a request as it is written, with values in the place of their names. */
  async function send(text: string, values: Record<string, string>) {
    const filled = Object.entries(values).reduce(
      (result, [name, value]) => result.replaceAll(name, value),
      text.trim(),
    )
    const [head = '', body] = filled.split('\n\n')
    const [first = '', ...lines] = head.split('\n')
    const [method, path] = first.split(' ')
    const answer = await fetch(`${stack.SUPABASE_URL}${path}`, {
      method: String(method),
      headers: lines.map((line) => line.split(': ') as [string, string]),
      ...(body !== undefined && { body }),
    })
    return { status: answer.status, body: await answer.json() }
  }
})

describe('its names', () => {
  const errorCodes = async () => {
    const rows = await sql`select code from referral_private.error_registry()`
    return [...rows.map(({ code }) => String(code)), 'unreachable', 'misconfigured', 'unexpected']
  }

  test('of functions are those of the schema', async () => {
    const rows = await sql`
      select proname from pg_proc where pronamespace = 'referral'::regnamespace`
    const functions = rows.map(({ proname }) => proname)
    const called = blocks.flatMap(({ text }) => [...text.matchAll(/\brpc(?:\(\s*['"]|\/)(\w+)/g)])
    expect(called.length).toBeGreaterThan(7)
    expect(called.map(([, name]) => name).filter((name) => !functions.includes(name))).toEqual([])
  })

  test('of errors are those of the client', async () => {
    const document = readFileSync('docs/mobile.md', 'utf8')
    const [, table = ''] = /(\| `invalid_click`[\s\S]*?)\n\n/.exec(document) ?? []
    const inTable = [...table.matchAll(/`(\w+)`/g)].map(([, code]) => String(code))
    expect(inTable.length).toBeGreaterThan(10)
    const codes = await errorCodes()
    expect(inTable.filter((code) => !codes.includes(code))).toEqual([])
  })

  test('of final refusals are those of the client, in its table and in each language', async () => {
    const isFinal = (code: string) => referralError(code as 'busy', '', null).final
    const final = (await errorCodes()).filter(isFinal).sort()
    const document = readFileSync('docs/mobile.md', 'utf8')
    const told = document.match(/^\| .* \| no, final \|/gm)?.join('\n') ?? ''
    expect([...told.matchAll(/`(\w+)`/g)].map(([, code]) => code).sort()).toEqual(final)
    const lists = ['dart', 'swift', 'kotlin'].map((name) => {
      const text = blocks.filter(({ language }) => language === name).map((block) => block.text)
      const [, list = ''] = /inalRefusals = (?:setOf)?([{[(][^}\])]*)/.exec(text.join('\n')) ?? []
      return [...list.matchAll(/['"](\w+)['"]/g)].map(([, code]) => code).sort()
    })
    expect(lists).toEqual([final, final, final])
  })

  test('of other languages take an error without a code for no redemption', () => {
    const document = readFileSync('docs/mobile.md', 'utf8')
    expect(document.match(/error\.code.*$/gm)).toEqual([
      "error.code ?? 'unexpected';",
      'error.code ?? "unexpected"',
      'error.code ?: "unexpected"',
    ])
  })
})
