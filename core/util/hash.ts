import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

/** Up to this many bytes, to hash them here takes less than to hand them to the platform's thread. */
const maxBytesHere = 4096;

/**
 * SHA-256 of a text's UTF-8, as 64 hexadecimal digits in lower case. Long texts go to the platform, which hashes them
 * elsewhere; for short ones that costs 40 µs and more, a quarter of a remembered turn.
 */
export const sha256Hex = async (text: string): Promise<string> => {
  const bytes = utf8ToBytes(text);
  if (bytes.length <= maxBytesHere) return bytesToHex(sha256(bytes));
  return bytesToHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
};
