/** How many bytes a text takes in UTF-8. Counted: to encode it takes as long, and leaves bytes to be thrown away. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x80) continue;
    if (code < 0x800) bytes += 1;
    else {
      bytes += 2;
      // Two units of UTF-16 that are one character take four bytes together; half of a pair is written as U+FFFD.
      if (code >= 0xd800 && code < 0xdc00 && isLowSurrogate(text.charCodeAt(at + 1))) at++;
    }
  }
  return bytes;
}

/** False for NaN, which is what comes after the end. */
const isLowSurrogate = (code: number): boolean => code >= 0xdc00 && code < 0xe000;
