/** Sets of events, as the letters of their names in order: `AB`. Equal sets are equal texts. */

export const and = (one: string, other: string) =>
  other === '' || one === other ? one : [...new Set(one + other)].sort().join('')

export const without = (one: string, other: string) =>
  one === '' || other === '' ? one : [...one].filter((name) => !other.includes(name)).join('')

export const inBoth = (one: string, other: string) =>
  one === '' || other === '' ? '' : [...one].filter((name) => other.includes(name)).join('')
