/** The version of the package that these functions came with. */
export const version = '0.1.0'
