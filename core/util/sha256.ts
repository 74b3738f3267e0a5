/**
 * SHA-256 (FIPS 180-4), at once. The platforms' own is a promise and takes 5 to 13 µs in Bun, more than all else that
 * a turn of a conversation costs; libraries take a tenth of the single file's budget.
 */

// biome-ignore format: eight a line, as the standard has them
const roundConstants = new Int32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);
// biome-ignore format: as above
const initialHash = new Int32Array([
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
]);

const blockWords = 16;
const encoder = new TextEncoder();
const schedule = new Int32Array(64);

const rotate = (word: number, bits: number): number => (word >>> bits) | (word << (32 - bits));

/** The message with a one bit and its length in bits behind it, as words in whole blocks. */
const padded = (message: Uint8Array): Int32Array => {
  const words = new Int32Array(Math.ceil((message.length + 9) / 64) * blockWords);
  for (let index = 0; index < message.length; index++) {
    (words[index >> 2] as number) |= (message[index] as number) << (24 - (index & 3) * 8);
  }
  (words[message.length >> 2] as number) |= 0x80 << (24 - (message.length & 3) * 8);
  words[words.length - 2] = message.length / 0x20000000;
  words[words.length - 1] = message.length << 3;
  return words;
};

/** Spreads a block over 64 words. */
const fillSchedule = (words: Int32Array, offset: number): void => {
  for (let round = 0; round < 16; round++) schedule[round] = words[offset + round] as number;
  for (let round = 16; round < 64; round++) {
    const early = schedule[round - 15] as number;
    const late = schedule[round - 2] as number;
    schedule[round] =
      (schedule[round - 16] as number) +
      (rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3)) +
      (schedule[round - 7] as number) +
      (rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10));
  }
};

/** Works the schedule into the hash. */
const compress = (hash: Int32Array): void => {
  let a = hash[0] as number;
  let b = hash[1] as number;
  let c = hash[2] as number;
  let d = hash[3] as number;
  let e = hash[4] as number;
  let f = hash[5] as number;
  let g = hash[6] as number;
  let h = hash[7] as number;
  for (let round = 0; round < 64; round++) {
    const choice = (e & f) ^ (~e & g);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const word = (roundConstants[round] as number) + (schedule[round] as number);
    const first = (h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + choice + word) | 0;
    const second = ((rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + majority) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + second) | 0;
  }
  hash[0] = (hash[0] as number) + a;
  hash[1] = (hash[1] as number) + b;
  hash[2] = (hash[2] as number) + c;
  hash[3] = (hash[3] as number) + d;
  hash[4] = (hash[4] as number) + e;
  hash[5] = (hash[5] as number) + f;
  hash[6] = (hash[6] as number) + g;
  hash[7] = (hash[7] as number) + h;
};

/** The hash of a text's UTF-8, in hexadecimal digits. */
export function sha256(text: string): string {
  const words = padded(encoder.encode(text));
  const hash = initialHash.slice();
  for (let offset = 0; offset < words.length; offset += blockWords) {
    fillSchedule(words, offset);
    compress(hash);
  }
  let digits = "";
  for (let index = 0; index < hash.length; index++) {
    digits += ((hash[index] as number) >>> 0).toString(16).padStart(8, "0");
  }
  return digits;
}
