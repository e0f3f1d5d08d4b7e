/** The code of a link as it was written, without what surrounds it. Null if the text cannot be a code. */
export function writtenCode(text: string | undefined): string | null {
  const code = text?.trim().replace(before, '').replace(after, '') ?? ''
  return canBeCode(code) ? code : null
}

/** Quotes, brackets and punctuation before and after a code, which chat programs take along into a link. */
const before = /^[\s!"'(*.<[_`~¡«»¿\u200b-\u206f\u3008-\u301f]{1,32}/
const after =
  /[\s!"')*,.:;>?\]_`~«·»\u0589\u060c\u061b\u061f\u06d4\u0964\u0965\u200b-\u206f\u3001-\u301f]{1,32}$/

/**
 * Whether a text is 3 to 32 letters and digits, with any spacing. Other text does not leave the phone. The database decides
 * what a code is.
 */
const canBeCode = (text: string) =>
  text.length <= 128 && letters.test(text.normalize('NFKC').replace(unseen, ''))

const letters = /^[\da-z](?:[\s\u2010-\u2015-]*[\da-z]){2,31}$/i
const unseen = /[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]|[\ufe00-\ufe0f]/g
