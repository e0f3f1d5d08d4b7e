/** The `reason` argument of a call, or no argument without a reason. */
export const reasonOf = (reason?: string) => (reason === undefined ? {} : { reason })
