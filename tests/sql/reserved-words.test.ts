/** Words that cannot be codes: whole words and not parts, named to staff, allowed by the operator. */
import { describe, expect, test } from 'vitest'
import { type Actor, details, operator, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { scene } from '../support/scene.ts'

const sql = await testDatabase()
const make = (staff: Actor, org: string, code: string) =>
  staff.rpc('create_campaign_code', { org_id: org, code })

/** Names, places and things with a reserved word in them. */
const innocent = [
  ...[
    'GRAPE',
    'COCKTAIL',
    'HANCOCK',
    'DRAPER',
    'PEACOCK-5',
    'COCKBURN',
    'HITCOCK',
    'COCKERELL',
    'BABCOCK',
    'GRAPES',
  ],
  ...[
    'SCRAPE',
    'DRAPE-20',
    'THERAPEUTIC',
    'THERAPIST',
    'SKYSCRAPER',
    'TRAPEZE',
    'PARAPET',
    'RAPESEED',
    'SHITAKE',
  ],
  ...[
    'SCUNTHORPE',
    'PENISTONE',
    'PORNIC',
    'AMPUTATE',
    'REPUTATION',
    'COMPUTADORA',
    'DIPUTADA',
    'DISPUTANT',
    'TITSIA',
  ],
  ...[
    'SAINT-NAZAIRE',
    'NAZIRE',
    'NAZIM',
    'SWANKY',
    'TWANK',
    'SALTWATER',
    'SPERMACETI',
    'XXXL',
    'VAGINAL-CARE',
    'FAGUS',
  ],
  ...[
    'FAGOTT',
    'SHITTIM',
    'HUREMOVIC',
    'CHURERIA',
    'SCHUREN',
    'ARSCHMANN',
    'BITCHBURN',
    'MERDEKA',
    'MATSUSHITA',
    'GRAPE1',
  ],
  ...[
    'ADMIRAL',
    'ADMIN-5',
    'ADMIN-TEAM',
    'CODES-2',
    'TESTER',
    'TEST-1',
    'LINKS',
    'APPLE',
    'APP-STORE',
    'ROOTS',
    'SUPPORTER',
  ],
  ...['CLASS-HIT', 'GRASS-HITS', 'PEN-ISLAND', 'DR-APE', 'HAN-COCKROACH', 'KUMA-SUSHI-TEN'],
]

const refused = [
  ...[
    'FUCK',
    'fuck',
    'FUCK-YOU',
    'WHAT-THE-FUCK',
    'FUCK5',
    '5FUCK',
    'FUCK-5',
    '20FUCK24',
    'F-U-C-K',
    'F-U-C-K-5',
    'FU-CK',
  ],
  ...[
    'SHIT',
    'SH1T',
    'sh1t',
    'SHlT',
    'SHIT5',
    'SH1T5',
    'BULLSHIT',
    'COCK',
    'C0CK',
    'c0ck-5',
    'COCK-TAIL',
    'MY COCK',
    'RAPE',
  ],
  ...[
    'G-RAPE',
    'RAPE-2024',
    'T1TS',
    'N1GGER',
    'NlGGER',
    'NAZI88',
    '88NAZI',
    'HITLER',
    'XXX',
    'XXX-5',
    '“FUCK”',
    'FU\u200bCK',
  ],
  ...[
    'ＦＵＣＫ',
    'arschloch',
    'Hurensohn 1',
    'MOTHERFUCKER',
    'PUTA',
    'PUTAIN-7',
    'ADMIN',
    'adm1n',
    'AD-MIN',
    'admin.',
    'WELLKNOWN',
  ],
]

describe('a chosen code', () => {
  test.for(innocent)('can be %s', (code) =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      expect(await make(coordinator, org, code)).toHaveLength(1)
    }),
  )

  test.for(refused)('cannot be %s', (code) =>
    undone(sql, async (tx) => {
      const { org, coordinator } = await scene(tx)
      expect(await refusal(make(coordinator, org, code))).toBe('code_reserved')
    }),
  )

  test.for([
    ['c0ck-5', 'COCK'],
    ['what the fuck', 'FUCK'],
    ['adm1n', 'ADMIN'],
    ['well known', 'WELL-KNOWN'],
    ['BULLSH1T', 'BULLSHIT'],
  ])('says for %s which word it is: %s', ([code = '', word]) =>
    undone(sql, async (tx) => {
      const { org, coordinator, mentor } = await scene(tx)
      expect(await details(make(coordinator, org, code))).toBe(word)
      const ofMentor = { org_id: org, referrer_id: mentor.id }
      expect(await details(coordinator.rpc('create_code', { ...ofMentor, code }))).toBe(word)
      await coordinator.rpc('create_code', ofMentor)
      expect(await details(coordinator.rpc('rotate_code', { ...ofMentor, code }))).toBe(word)
    }),
  )

  test('is refused to the operator, too', () =>
    undone(sql, async (tx) => {
      const { org } = await scene(tx)
      expect(await refusal(make(operator(tx), org, 'COCK-5'))).toBe('code_reserved')
    }))
})

describe('allow_word', () => {
  const allow = (by: Actor, org: string, word: string, allowed = true) =>
    by.rpc('allow_word', { org_id: org, word, allowed })

  test('allows one word, in every spelling, to one organisation, until it is taken back', () =>
    undone(sql, async (tx) => {
      const [one, other] = [await scene(tx), await scene(tx)]
      const [granted] = await allow(operator(tx), one.org, 'c0ck')
      expect(granted).toEqual({ allow_word: ['COCK'] })
      await allow(operator(tx), one.org, 'COCK')
      for (const code of ['COCK-5', 'c0ck', 'MY-COCK'])
        expect(await make(one.coordinator, one.org, code)).toHaveLength(1)
      expect(await refusal(make(one.coordinator, one.org, 'COCK-SHIT'))).toBe('code_reserved')
      expect(await refusal(make(other.coordinator, other.org, 'COCK-6'))).toBe('code_reserved')
      expect((await allow(operator(tx), one.org, 'Cock', false))[0]).toEqual({ allow_word: [] })
      expect(await refusal(make(one.coordinator, one.org, 'COCK-7'))).toBe('code_reserved')
    }))

  test.for([
    ['a word that is not reserved', { word: 'NICE' }, 'invalid_argument'],
    ['a code with a reserved word', { word: 'COCK-5' }, 'invalid_argument'],
    ['no word', { word: null }, 'invalid_argument'],
    ['text that is no code', { word: '🎉' }, 'invalid_argument'],
    ['neither yes nor no', { allowed: null }, 'invalid_argument'],
    ['an unknown organisation', { org_id: crypto.randomUUID() }, 'organisation_not_found'],
  ] as const)('refuses %s', ([, args, error]) =>
    undone(sql, async (tx) => {
      const { org } = await scene(tx)
      const call = operator(tx).rpc('allow_word', { org_id: org, word: 'COCK', ...args })
      expect(await refusal(call)).toBe(error)
    }),
  )
})

test('no drawn code contains a word, not even as a part', () =>
  undone(sql, async (tx) => {
    await tx`
      insert into referral_private.reserved_words (word)
      select a || b || c from unnest('{A,B,C,D,E,F,G}'::text[]) as a, unnest('{A,B,C,D,E,F,G}'::text[]) as b,
        unnest('{2,3,4,5,6,7,8,9}'::text[]) as c`
    const { org, coordinator } = await scene(tx)
    await coordinator.rpc('generate_codes', { org_id: org, count: 1000 })
    expect(await tx`select from referral.codes where code_key ~ '[A-G]{2}[2-9]'`).toEqual([])
  }))
