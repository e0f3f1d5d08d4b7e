/** What text means: codes and ids. */

/** Codes are equal that differ in case, spaces, dashes, letters that look alike, and what stands around them or is unseen. */
export const normalForm = (code: string) =>
  code
    .normalize('NFKC')
    .replace(/[\s\p{Pd}\p{Default_Ignorable_Code_Point}]/gu, '')
    .replace(/^[\p{P}<>`~]+|[\p{P}<>`~]+$/gu, '')
    .toUpperCase()
    .replaceAll('O', '0')
    .replace(/[IL]/g, '1')

export const isUuid = (text: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)
