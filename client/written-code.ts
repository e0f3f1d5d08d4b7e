/** The code of a link as it was written, without what surrounds it. Null if there is none. */
export function writtenCode(text: string | undefined): string | null {
  return text?.trim().replace(before, '').replace(after, '') || null
}

/** Quotes, brackets and punctuation before and after a code, which chat programs take along into a link. */
const before = /^[\s!"'(*.<[_`~¡«»¿\u200b-\u206f\u3008-\u301f]{1,32}/
const after =
  /[\s!"')*,.:;>?\]_`~«·»\u0589\u060c\u061b\u061f\u06d4\u0964\u0965\u200b-\u206f\u3001-\u301f]{1,32}$/
