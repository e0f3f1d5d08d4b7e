/** What text means: codes, ids, and the codes that promotion codes belong to. */
import type { Book } from './books.ts'
import { greatest } from './order.ts'

/** Codes are equal that differ in case, spaces, dashes, and letters that look alike. */
export const normalForm = (code: string) =>
  code
    .normalize('NFKC')
    .replace(/[\s\p{Pd}]/gu, '')
    .toUpperCase()
    .replaceAll('O', '0')
    .replace(/[IL]/g, '1')

export const isUuid = (text: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)

/** By promotion code, the code that it belongs to: the last that was said. */
export function promotionsOf({ shown }: Book): Map<string, string> {
  const naming = shown.promotionCode.filter(({ object }) => object.metadata.referral_code)
  return new Map(
    [...Map.groupBy(naming, ({ object }) => object.id)].map(([id, events]) => {
      const last = greatest(events, ({ at, by }) => [at, by])
      return [id, normalForm(last?.object.metadata.referral_code ?? '')]
    }),
  )
}
