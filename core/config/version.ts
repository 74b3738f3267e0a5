/** The package's version; a test keeps it equal to package.json, which a single-file build can't read. */
export const version = "1.0.0";
