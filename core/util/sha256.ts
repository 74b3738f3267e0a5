/** Apart from hash.ts, which loads it with the first text, and by itself: the library has more that nobody here needs. */
export { sha256 } from "@noble/hashes/sha2.js";
