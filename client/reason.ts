/** The `reason` argument of a call, left out where none is given. */
export const reasonOf = (reason?: string) => (reason === undefined ? {} : { reason })
