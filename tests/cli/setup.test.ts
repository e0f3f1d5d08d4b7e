/** `referbase setup` against the local stack: what it makes, what a second run does, and what it says. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { PassThrough } from 'node:stream'
import { createClient } from '@supabase/supabase-js'
import { describe, expect, inject, test } from 'vitest'
import { createAsker } from '../../cli/setup/asker.ts'
import { parseCommission } from '../../cli/setup/commission.ts'
import { type ReadyProgramName, readyPrograms } from '../../cli/setup/ready-programs.ts'
import { termDefaults } from '../../cli/setup/term-differences.ts'
import { slugOf } from '../../cli/setup/wishes.ts'
import { freePort } from '../../scripts/stack/ports.ts'
import { referbase, referbaseHere } from '../support/cli.ts'
import { printedBy, programOf } from '../support/examples.ts'
import { personOverHttp, stackDatabase } from '../support/http.ts'

const stack = inject('stack')
const sql = stackDatabase()
const { admin } = createClient(stack.SUPABASE_URL, stack.SUPABASE_SECRET_KEY, {
  auth: { persistSession: false },
}).auth
const anyEmail = () => `${crypto.randomUUID()}@example.com`
const anySlug = () => `app-${crypto.randomUUID()}`
const run = (...args: string[]) => referbase(['setup', ...args], stack)
const runJson = async (...args: string[]) => {
  const { code, stdout, stderr } = await referbaseHere(['setup', '--yes', '--json', ...args], stack)
  return { code, stderr, done: JSON.parse(stdout || 'null') }
}

async function signedUp(email: string, email_confirm = true): Promise<string> {
  const { data, error } = await admin.createUser({ email, email_confirm })
  if (error) throw error
  return data.user.id
}

/** What the database has of an organisation, without ids and times. */
async function storedOf(slug: string) {
  const [row] = await sql`
    select o.name, o.web_destination, o.ios_destination, o.android_destination, o.android_package, o.ios_app_ids,
      o.android_fingerprints, o.link_origin,
      (select array_agg(m.user_id || ' ' || m.role order by m.created_at) from referral.members as m where m.org_id = o.id) as members,
      (
        select jsonb_object_agg(p.key || ' ' || t.version, t.terms) from referral.programs as p
        join referral.program_terms as t on t.program_id = p.id where p.org_id = o.id
      ) as terms,
      (select array_agg(c.code || ' ' || c.referrer_id) from referral.codes as c where c.org_id = o.id) as codes
    from referral.organisations as o where o.slug = ${slug}`
  return row
}

/** The shortest set-up of an organisation of its own. */
async function anOrganisation(...more: string[]) {
  const [slug, id] = [anySlug(), await signedUp(anyEmail())]
  const args = ['--name', 'My app', '--slug', slug, '--web', 'https://app.test/', '--admin', id]
  const { code, done, stderr } = await runJson(...args, '--commission', '20%', ...more)
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('made') })
  return { slug, id, done, args }
}

describe('setup', () => {
  test('makes all in one go, and a second run changes nothing', async () => {
    const [slug, email] = [anySlug(), anyEmail()]
    const id = await signedUp(email)
    const host = `https://${slug}.example`
    const args = [
      ...['--name', 'My app', '--slug', slug, '--admin', email.toUpperCase(), '--open'],
      ...['--web', 'https://app.test/', '--ios', 'https://apps.apple.com/app/id1'],
      ...['--android', 'https://play.google.com/store/apps/details?id=app.test'],
      ...['--android-package', 'app.test', '--ios-app-ids', 'ABCDE12345.app.test'],
      ...['--android-fingerprints', Array(32).fill('ab').join(':'), '--link-host', `${host}/`],
      ...['--commission', '20%', '--months', '12', '--hold-days', '30'],
    ]
    const first = await runJson(...args)
    expect(first.code, first.stderr).toBe(0)
    const stored = await storedOf(slug)
    expect(stored).toEqual({
      name: 'My app',
      web_destination: 'https://app.test/',
      ios_destination: 'https://apps.apple.com/app/id1',
      android_destination: 'https://play.google.com/store/apps/details?id=app.test',
      android_package: 'app.test',
      ios_app_ids: ['ABCDE12345.app.test'],
      android_fingerprints: [Array(32).fill('AB').join(':')],
      link_origin: host,
      members: [`${id} admin`],
      terms: {
        'friends 1': {
          ...termDefaults,
          commission: { kind: 'percent', bps: 2000 },
          recurrence: { months: 12 },
          enrolment: 'open',
          hold_days: 30,
        },
      },
      codes: [`${first.done.code} ${id}`],
    })
    expect(first.done).toMatchObject({ slug, admin_id: id, program_key: 'friends' })
    expect(first.done.link).toBe(`${host}/link/${first.done.code}`)

    const second = await runJson(...args)
    expect(second).toEqual({ code: 0, stderr: '', done: { ...first.done, steps: [] } })
    expect(await storedOf(slug)).toEqual(stored)
  })

  test('prints the id, a link that leads to the app, and what the app needs', async () => {
    const { slug, done } = await anOrganisation('--open')
    const { code, stdout, stderr } = await run('--slug', slug)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(done.link).toBe(`${stack.FUNCTIONS_URL}/referbase-link/${done.code}`)
    for (const text of [done.org_id, done.link, 'npm install ./referbase-', 'createReferralClient'])
      expect(stdout).toContain(text)
    expect(stdout).not.toContain(stack.SUPABASE_SECRET_KEY)
    const next = (file: string) =>
      `\nNext:\n\n  npx --no-install referbase doctor${file} --org ${done.org_id}\n`
    expect(stdout).toContain(next(''))
    const file = join(mkdtempSync(join(tmpdir(), 'referbase-setup-')), 'my.env')
    writeFileSync(file, '')
    const named = await referbase(['--env-file', file, 'setup', '--slug', slug], stack)
    expect(named.stdout).toContain(next(` --env-file ${file}`))
    rmSync(dirname(file), { recursive: true })
    const tap = await fetch(done.link, { redirect: 'manual' })
    expect(tap.headers.get('location')).toBe(`https://app.test/?ref=${done.code}`)
  })

  test('goes on where an earlier run ended', async () => {
    const id = await signedUp(anyEmail())
    for (const steps of [1, 2, 3]) {
      const slug = anySlug()
      // What a run leaves that ends after so many steps.
      const [org] = await sql`select * from referral.create_organisation('My app', ${slug}, ${id})`
      const changes = sql.json({ web_destination: 'https://app.test/' })
      if (steps > 1) await sql`select referral.update_organisation(${org?.id}, ${changes})`
      const terms = sql.json({ commission: { kind: 'percent', bps: 2000 } })
      if (steps > 2)
        await sql`select referral.create_program(${org?.id}, 'friends', 'Bring a friend', ${terms})`
      const args = ['--name', 'My app', '--web', 'https://app.test/', '--commission', '20%']
      const { code, done } = await runJson(...args, '--slug', slug, '--admin', id)
      expect([code, done.org_id]).toEqual([0, org?.id])
      expect(done.steps).toHaveLength(4 - steps)
      expect(await storedOf(slug)).toMatchObject({
        web_destination: 'https://app.test/',
        codes: [`${done.code} ${id}`],
      })
    }
  })

  test('changes the settings that options state, and leaves the others', async () => {
    const { slug } = await anOrganisation()
    const ios = 'https://apps.apple.com/app/id2'
    const { code, done, stderr } = await runJson('--slug', slug, '--ios', ios)
    expect([code, stderr]).toEqual([0, `changed ios_destination: null → "${ios}"\n`])
    expect(done.steps).toHaveLength(1)
    expect(await storedOf(slug)).toMatchObject({
      ios_destination: ios,
      web_destination: 'https://app.test/',
    })
  })

  test('leaves other terms as they are, says so, and changes them with --update', async () => {
    const { slug } = await anOrganisation()
    const other = ['--slug', slug, '--commission', '5 usd', '--forever']
    const left = await runJson(...other)
    expect(left.code).toBe(1)
    expect(left.stderr.split('\n')).toEqual([
      'different commission of friends: {"bps":2000,"kind":"percent"} → {"kind":"flat","amount":{"usd":500}}',
      'different recurrence of friends: "once" → "forever"',
      'Some things are different, and were left: add --update to change them.',
      '',
    ])
    expect(Object.keys((await storedOf(slug))?.terms)).toEqual(['friends 1'])
    const changed = await runJson(...other, '--update')
    expect([changed.code, changed.done.terms]).toEqual([
      0,
      {
        ...termDefaults,
        commission: { kind: 'flat', amount: { usd: 500 } },
        recurrence: 'forever',
      },
    ])
    expect(await runJson(...other, '--update')).toMatchObject({ code: 0, stderr: '' })
    expect(Object.keys((await storedOf(slug))?.terms)).toHaveLength(2)
  })

  test('a ready program replaces all terms, with --update', async () => {
    const { slug } = await anOrganisation('--hold-days', '3', '--open')
    const { done } = await runJson('--slug', slug, '--program', 'credit', '--update')
    expect(done.terms).toEqual({ ...termDefaults, ...readyPrograms.credit.terms })
    const { stdout } = await run('--slug', slug, '--program', 'credit')
    expect(stdout).toContain('not part of this version')
    const ambassadors = await runJson('--slug', slug, '--program', 'ambassadors')
    expect(ambassadors.done.program_key).toBe('ambassadors')
    // A referrer has one active code.
    expect(ambassadors.done).toMatchObject({ code: done.code, code_program_key: 'friends' })
    expect((await run('--slug', slug, '--program', 'ambassadors')).stdout).toContain(
      `${done.link} of program friends\n`,
    )
    // With tiers, a commission would not be used.
    const tiers = ['--slug', slug, '--program', 'ambassadors', '--commission', '9%', '--update']
    expect((await runJson(...tiers)).done.terms).not.toHaveProperty('tiers')
  })

  test('adds another admin, and makes a member one with --update only', async () => {
    const { slug, id, done } = await anOrganisation()
    const other = await signedUp(anyEmail())
    const added = await runJson('--slug', slug, '--admin', other)
    expect(added.done).toMatchObject({ admin_id: other, org_id: done.org_id })
    expect(added.done.code).not.toBe(done.code)
    const member = await signedUp(anyEmail())
    await sql`select referral.add_member(${done.org_id}, ${member})`
    const left = await runJson('--slug', slug, '--admin', member)
    expect([left.code, left.stderr]).toEqual([
      1,
      expect.stringContaining(`different role of ${member}: "member" → "admin"`),
    ])
    await runJson('--slug', slug, '--admin', member, '--update')
    expect((await storedOf(slug))?.members).toEqual(
      [id, other, member].map((one) => `${one} admin`),
    )
  })
})

describe('the admin', () => {
  const asked = async (given: string, ...more: string[]) => {
    const slug = anySlug()
    const program = ['--web', 'https://app.test/', '--program', 'percent', ...more]
    const named = ['setup', '--name', 'A', '--slug', slug, '--admin', given]
    const { code, stderr } = await referbaseHere([...named, ...program], stack)
    return { code, stderr, stored: await storedOf(slug) }
  }

  test('is found among thousands', async () => {
    const email = anyEmail()
    const id = await signedUp(email)
    const batch = crypto.randomUUID()
    await sql`
      insert into auth.users (id, email, created_at)
      select gen_random_uuid(), n || '@' || ${batch}, now() + interval '1 day' from generate_series(1, 2100) as n`
    try {
      const { stored } = await asked(email)
      expect(stored?.members).toEqual([`${id} admin`])
    } finally {
      await sql`delete from auth.users where email like '%@' || ${batch}`
    }
  })

  test('who has not signed up is refused, or invited once', async () => {
    const email = anyEmail()
    expect(await asked(email)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`No user has the address ${email}.`),
      stored: undefined,
    })
    const { stderr, stored } = await asked(email, '--invite')
    expect(stderr).toContain('made an invitation of the admin')
    const again = await asked(email, '--invite')
    expect(again.stderr).not.toContain('invitation')
    expect(again.stored?.members).toEqual(stored?.members)
  })

  const unconfirmed = async () => {
    const email = anyEmail()
    await signedUp(email, false)
    return email
  }
  const refused: [name: string, given: () => string | Promise<string>, why: string][] = [
    ['an unconfirmed address', unconfirmed, 'has not confirmed it'],
    ['an id that nobody has', () => crypto.randomUUID(), 'There is no user'],
    ['a word', () => 'somebody', 'neither an e-mail address nor the id of a user'],
  ]
  test.for(refused)('%s is refused, and nothing is made', async ([, given, why]) => {
    const { code, stderr, stored } = await asked(await given())
    expect([code, stderr, stored]).toEqual([1, expect.stringContaining(why), undefined])
    expect(stderr.trim().split('\n')).toHaveLength(1)
  })
})

describe('what is missing', () => {
  test('is named where nobody can be asked, with exit code 2', async () => {
    const nothing = await run()
    expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringMatching('missing --name\n')])
    const { code, stderr } = await run('--name', anySlug())
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching('missing --web, --program or --commission, --admin\n'),
    ])
  })

  test('is asked for on a terminal until the answer can be read', async () => {
    const input = new PassThrough()
    const { ask, close } = createAsker(input, new PassThrough())
    // What is pasted in one piece is kept for the questions that follow.
    input.write('\nMy app\nno page\nhttps://app.test/\n7\n2.5%\nme@example.com\n')
    expect(await ask(['name'])).toEqual({ name: 'My app' })
    expect(await ask(['web', 'program', 'admin'])).toEqual({
      web: 'https://app.test/',
      commission: { kind: 'percent', bps: 250 },
      admin: 'me@example.com',
    })
    close()
  })

  test('a person who leaves makes nothing', async () => {
    const input = new PassThrough()
    const asked = createAsker(input, new PassThrough()).ask(['name'])
    input.end()
    await expect(asked).rejects.toThrow('Nothing was made.')
  })

  test('a wrong project, key or setting is one sentence', async () => {
    const wrongKey = { ...stack, SUPABASE_SECRET_KEY: 'sb_secret_of_another_project' }
    const refused = await referbase(['setup', '--slug', 'a'], wrongKey)
    expect([refused.code, refused.stderr.split('\n').length]).toEqual([1, 2])
    expect(refused.stderr).toContain('The organisation cannot be read: misconfigured.')
    const nowhere = { ...stack, SUPABASE_URL: `http://127.0.0.1:${await freePort()}` }
    expect((await referbase(['setup', '--slug', 'a'], nowhere)).stderr).toBe(
      'The organisation cannot be read: the project does not respond: ECONNREFUSED. Is SUPABASE_URL right?\n',
    )
    const { slug } = await anOrganisation()
    const { code, stderr } = await run('--slug', slug, '--ios', 'http://app.test/')
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining('ios_destination: an https address'),
    ])
  })
})

test.for([
  ['20%', { kind: 'percent', bps: 2000 }],
  ['2.55 %', { kind: 'percent', bps: 255 }],
  ['5 usd', { kind: 'flat', amount: { usd: 500 } }],
  ['4.5 EUR, 5 usd', { kind: 'flat', amount: { eur: 450, usd: 500 } }],
  ['500 jpy', { kind: 'flat', amount: { jpy: 500 } }],
  ['1.250 kwd', { kind: 'flat', amount: { kwd: 1250 } }],
  ['5 ugx', { kind: 'flat', amount: { ugx: 500 } }],
] as const)('the commission %s is in minor units', ([text, reward]) => {
  expect(parseCommission(text)).toEqual(reward)
})

test.for(['101%', '5', '5 xyz', '5.5 jpy', '1.555 usd', '5 usd, 6 usd', '-5 usd'])(
  'the commission %s is refused',
  (text) => expect(() => parseCommission(text)).toThrow(),
)

test('a slug is made of a name', () => {
  expect(['My app', ' Café – 24/7! ', '日本'].map(slugOf)).toEqual(['my-app', 'cafe-24-7', ''])
})

test('the ready programs are those of docs/terms.md', async () => {
  const made: unknown[] = []
  const result = { data: { key: 'key', id: 'id' }, error: null }
  const staff = {
    createProgram: async ({ terms }: { terms: unknown }) => made.push(terms) && result,
    updateProgram: async () => result,
  }
  await printedBy(programOf('docs/terms.md'), { staff })
  const names: ReadyProgramName[] = ['bounty', 'percent', 'credit', 'ambassadors', 'mentors']
  expect(made).toEqual(names.map((name) => readyPrograms[name].terms))
  expect(Object.keys(readyPrograms).sort()).toEqual(names.sort())
})

test('the defaults of terms are those of the database', async () => {
  const [row] = await sql`select referral_private.complete_terms('{}') as terms`
  expect(row?.terms).toEqual(termDefaults)
})

test('the admin’s code is redeemed by a person of the app', async () => {
  const { done } = await anOrganisation('--open')
  const { supabase } = await personOverHttp()
  const redeemed = await supabase.rpc('redeem_code', { code: done.code }).single()
  expect(redeemed).toMatchObject({ error: null, data: { status: 'pending' } })
})
