import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

type Sha256 = typeof import("./sha256.ts");

/** Loaded with the first text: its tables take 10 ms, which a start need not wait for. */
let loading: Promise<Sha256> | undefined;

const loadSha256 = (): Promise<Sha256> => {
  loading ??= import("./sha256.ts");
  return loading;
};

/** Up to this many bytes, to hash them here takes less than to hand them to the platform's thread. */
const maxBytesHere = 4096;

/**
 * SHA-256 of a text's UTF-8, as 64 hexadecimal digits in lower case. Long texts go to the platform, which hashes them
 * elsewhere; for short ones that costs 40 µs and more, a quarter of a remembered turn.
 */
export const sha256Hex = async (text: string): Promise<string> => {
  const bytes = utf8ToBytes(text);
  if (bytes.length <= maxBytesHere) return bytesToHex((await loadSha256()).sha256(bytes));
  return bytesToHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
};
