/** Hostile text as a code: each is either the code that it means or none, in every function that takes one. */
import { expect, test } from 'vitest'
import { anonymous, person, refusal } from '../support/actors.ts'
import { testDatabase, undone } from '../support/database.ts'
import { scene } from '../support/scene.ts'

const sql = await testDatabase()

const mean = 'KEEN-FERN-42'
const letters = [...'keenfern42']
const separators = [
  '',
  '-',
  ' ',
  '\t',
  '\n',
  '\r\n',
  '\u000b',
  '\u000c',
  '\u0085',
  '\u00a0',
  '\u1680',
  '\u2000',
  '\u2009',
  '\u200a',
  '\u2028',
  '\u2029',
  '\u202f',
  '\u205f',
  '\u3000',
  '\u058a',
  '\u05be',
  '\u1806',
  '\u2010',
  '\u2011',
  '\u2012',
  '\u2013',
  '\u2014',
  '\u2015',
  '\u2e3a',
  '\u2e3b',
  '\u301c',
  '\u3030',
  '\u30a0',
  '\ufe31',
  '\ufe58',
  '\ufe63',
  '\uff0d',
  '\u{10ead}',
]
const mathematical = (text: string) =>
  [...text]
    .map((c) => (/[a-z]/.test(c) ? String.fromCodePoint(0x1d41a + c.charCodeAt(0) - 97) : c))
    .join('')
const fullWidth = (text: string) =>
  [...text].map((c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0)).join('')
const circled = (text: string) =>
  [...text]
    .map((c) => (/[a-z]/.test(c) ? String.fromCharCode(0x24d0 + c.charCodeAt(0) - 97) : c))
    .join('')

const invisible = [
  '\u200b',
  '\u200c',
  '\u200d',
  '\u2060',
  '\ufeff',
  '\u00ad',
  '\u180e',
  '\u034f',
  '\u061c',
  '\u115f',
  '\u3164',
  '\u{e0041}',
  '\ufe0f',
]
const directional = [
  '\u200e',
  '\u200f',
  '\u202a',
  '\u202b',
  '\u202c',
  '\u202d',
  '\u202e',
  '\u2066',
  '\u2067',
  '\u2068',
  '\u2069',
]
/** Pairs that stand around a code in a message: quotes of many languages, brackets, and what ends a sentence. */
const around = [
  ...[
    '“”',
    '„“',
    '„”',
    '”“',
    '‘’',
    '‚‘',
    '«»',
    '»«',
    '‹›',
    '""',
    "''",
    '``',
    '´´',
    '″″',
    '「」',
    '『』',
  ],
  ...[
    '〈〉',
    '《》',
    '【】',
    '〔〕',
    '〝〟',
    '()',
    '[]',
    '{}',
    '<>',
    '（）',
    '［］',
    '｛｝',
    '＜＞',
    '⟨⟩',
    '﴾﴿',
    '**',
  ],
  ...['__', '~~', '¡!', '¿?', '❝❞', '״״', '᚛᚜'],
]
const endings = [
  ...[
    '.',
    ',',
    ';',
    ':',
    '!',
    '?',
    '…',
    '...',
    '?!',
    '!!!',
    '。',
    '、',
    '！',
    '？',
    '，',
    '．',
    '｡',
    '‼',
    '⁉',
  ],
  ...['؟', '،', '؛', '۔', '।', '॥', '։', '׃', '።', '·', '.)', ').', '.”', '”.', '!»', '。」'],
]

/** Text that a person may well type, paste or be sent for the code. */
const same = [
  mean,
  mean.toLowerCase(),
  'Keen Fern 42',
  ...separators.map((separator) => letters.join(separator)),
  ...separators.map((separator) => `${separator}${mean}${separator}`),
  ...separators.map((separator) => `KEEN${separator}${separator}FERN-42`),
  mathematical('keenfern42'),
  fullWidth('KEENFERN42'),
  fullWidth('keen-fern-42'),
  circled('keenfern42'),
  'ᴷEENFERN42'.replace('ᴷ', 'K'),
  'KEENFERN⁴²',
  'KEENFERN₄₂',
  'ＫＥＥＮ　ＦＥＲＮ　４２',
  ...[...invisible, ...directional].flatMap((c) => [
    `KEEN${c}FERN42`,
    `${c}${mean}${c}`,
    `KEEN-${c}FERN${c}-42`,
  ]),
  '["KEEN-FERN-42"]',
  ...around.map(([open, close]) => `${open}${mean}${close}`),
  ...around.map(([open, close]) => `${open} keen fern 42 ${close}.`),
  ...endings.map((end) => `${mean}${end}`),
  ...endings.map((end) => `“${mean}”\u200b ${end}\n`),
]

const control = Array.from({ length: 31 }, (_, i) => String.fromCharCode(i + 1)).filter(
  (c) => !/[\t-\r]/.test(c),
)
const punctuation = [...'!"#$%&\'()*+,./:;<=>?@[\\]^_`{|}~¡§«»¿…‹›·•†‡‰′″⁄']
const marks = ['\u0301', '\u0308', '\u0327', '\u0336', '\u20dd']
const lookAlikes = [
  'КEENFERN42',
  'KЕENFERN42',
  'KEENFΕRN42',
  'KEENFERΝ42',
  'ΚEENFERN42',
  'KEENFEЯN42',
  'ҜEENFERN42',
  'KEENFERИ42',
]
const others = [
  "' or 1=1 --",
  "'; drop table referral.codes; --",
  '" or ""="',
  "KEEN' || 'FERN",
  '$$KEEN$$',
  '\\x4b45',
  'KEEN%20FERN%2042',
  '%00',
  '%4b',
  '{"code":"KEEN-FERN-42"}',
  '["KEEN-FERN-42", 1]',
  '<script>alert(1)</script>',
  '&lt;KEEN&gt;',
  '$' + '{KEEN}',
  '{{=KEEN}}',
  '`id`',
  '$(id)',
  '|id',
  '../../etc/passwd',
  'C:\\KEEN',
  'file:///KEEN',
  'javascript:KEEN',
  'data:text/html,KEEN',
  'https://example.org/KEEN-FERN-42',
  'http://user:pass@example.org/',
  'mailto:keen@fern.example',
  '//evil.example',
  '\\\\evil\\share',
  'KEEN@FERN',
  'KEEN:FERN',
  'KEEN/FERN',
  '😀',
  '👩‍👩‍👧',
  '🇩🇪',
  '🅚🅔🅔🅝',
  'ⅩⅬⅠⅠ🎉',
  '漢字漢字',
  'नमस्ते',
  'مرحبا',
  'שלום',
  'ไทยไทย',
  '한국어',
  'ﷺ',
  '㍿㍿㍿',
  'ß',
  'ſſſ\u0301',
  'İİİ',
  'ıııı',
  'Ŀ·L',
  '',
  ' ',
  '-',
  '--',
  '\u3000',
  'A',
  'AB',
  'A-',
  '-A-B-',
  'A'.repeat(33),
  'A'.repeat(129),
  'A'.repeat(10_000),
  '-'.repeat(10_000),
  ' '.repeat(200) + mean,
  '\u0301'.repeat(1000),
  'Z̴̨̛a̸l̶g̵o',
  '𝕜'.repeat(40),
  '-1.5',
  '1_000',
  '{null}\u0001',
  'undefined=',
  'NaN/',
  '+1e3',
  '٤٢٤٢٤٢',
  '४२४२',
  '１.２',
]
const none = [
  ...[...invisible, ...directional].map((c) => `K${c}E`),
  ...[...invisible, ...directional].map((c) => c.repeat(10)),
  ...around.flatMap(([open, close]) => [`${open}KEEN${close}FERN42`, `KEENFERN${open}42${close}`]),
  ...control.map((c) => `KEEN${c}FERN42`),
  ...punctuation.map((c) => `KEEN${c}FERN42`),
  ...marks.map((c) => `KEENF${c}ERN42`),
  ...lookAlikes,
  ...others,
]

test('there are more than 300 of them', () => {
  expect(new Set([...same, ...none]).size).toBeGreaterThan(300)
})

test('every spelling of the code is the code', () =>
  undone(sql, async (tx) => {
    const { org, coordinator, friend } = await scene(tx)
    await coordinator.rpc('create_campaign_code', { org_id: org, code: mean })
    for (const code of same) {
      expect(await anonymous(tx).rpc('resolve_code', { code }), JSON.stringify(code)).toMatchObject(
        [{ code: mean }],
      )
      expect(await coordinator.rpc('find_code', { code })).toHaveLength(1)
      expect(await friend.rpc('redeem_code', { code })).toMatchObject([{ code: mean }])
      expect(
        await refusal(coordinator.rpc('create_campaign_code', { org_id: org, code })),
        code,
      ).toBe('code_taken')
    }
    expect(await tx`select from referral.redemptions where org_id = ${org}`).toHaveLength(1)
  }))

test('everything else is no code: found nowhere, refused by name', () =>
  undone(sql, async (tx) => {
    const { org, coordinator } = await scene(tx)
    await coordinator.rpc('create_campaign_code', { org_id: org, code: mean })
    for (const code of none) {
      const shown = JSON.stringify(code).slice(0, 60)
      expect(await anonymous(tx).rpc('resolve_code', { code }), shown).toEqual([])
      expect(await coordinator.rpc('find_code', { code }), shown).toEqual([])
      expect(await refusal(person(tx).rpc('redeem_code', { code })), shown).toBe('invalid_code')
      expect(
        await refusal(coordinator.rpc('create_campaign_code', { org_id: org, code })),
        shown,
      ).toBe('invalid_code')
    }
  }))
