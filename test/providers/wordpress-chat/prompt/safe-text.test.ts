import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { safeText } from "../../../../core/providers/wordpress-chat/prompt/safe-text.ts";

/**
 * WordPress's _sanitize_text_fields for text without "<" (with one, tags are stripped first); PHP's trim at both ends.
 */
function sanitizeTextField(text: string, keepNewlines: boolean): string {
  if (/\p{Surrogate}/u.test(text)) return "";
  if (text.includes("<")) throw new Error("tags would be stripped");
  const trim = (value: string): string => value.replace(/^[ \t\n\r\0\v]+|[ \t\n\r\0\v]+$/g, "");
  let filtered = trim(keepNewlines ? text : text.replace(/[\r\n\t ]+/g, " "));
  let isFound = false;
  for (let match = /%[a-f0-9]{2}/i.exec(filtered); match; match = /%[a-f0-9]{2}/i.exec(filtered)) {
    filtered = filtered.replaceAll(match[0], "");
    isFound = true;
  }
  return isFound ? trim(filtered.replace(/ +/g, " ")) : filtered;
}

describe("safeText", () => {
  test("writes < as its look-alike wherever it stands", () => {
    expect(safeText("a<b && c>d")).toBe("a＜b && c>d");
    expect(safeText("5 < 6 <= 7 <")).toBe("5 ＜ 6 ＜= 7 ＜");
    expect(safeText("<div>html</div> <script>alert(1)</script>")).toBe(
      "＜div>html＜/div> ＜script>alert(1)＜/script>",
    );
    expect(safeText("#include <stdio.h>\n<<EOF")).toBe("#include ＜stdio.h>\n＜＜EOF");
  });

  test("writes % as its look-alike before two hex digits only", () => {
    expect(safeText("100%25 %20 off")).toBe("100％25 ％20 off");
    expect(safeText("%aF%Fa%00")).toBe("％aF％Fa％00");
    expect(safeText("100% of 5%, %d %s %zz %4 %4g %")).toBe("100% of 5%, %d %s %zz %4 %4g %");
    expect(safeText("%%2525 %2%20 %25")).toBe("%％2525 %2％20 ％25");
  });

  test("makes halves of surrogate pairs well-formed", () => {
    expect(safeText("a\ud83d b\ude00 \ude00\ud83d")).toBe("a\ufffd b\ufffd \ufffd\ufffd");
    expect(safeText("😀 👩‍💻")).toBe("😀 👩‍💻");
  });

  test("changes nothing else", () => {
    const text = "  \0 a > b & &lt; &#60; “x” \\ \\\\ ' \" ` \u0001\u007f\ufeff\ufffe 中文 ＜ ％20\t\r\n  \v";
    expect(safeText(text)).toBe(text);
    expect(safeText("")).toBe("");
  });

  test("what WordPress makes of any text is the text but for the blanks at its ends", () => {
    const text = fc.string({
      unit: fc.constantFrom(..."<>%%%0129aFgz&;/! \t\n\r\0\v\\'\"".split(""), "中", "😀", "\ud83d", "\ude00"),
      maxLength: 60,
    });
    fc.assert(
      fc.property(text, (original) => {
        const safe = safeText(original);
        expect([...safe].length).toBe([...original].length);
        const ends = /^[ \t\n\r\0\v]+|[ \t\n\r\0\v]+$/g;
        expect(sanitizeTextField(safe, true)).toBe(safe.replace(ends, ""));
        expect(sanitizeTextField(safe, false)).toBe(safe.replace(/[\r\n\t ]+/g, " ").replace(ends, ""));
      }),
      { numRuns: 2000 },
    );
  });

  test("is done with long texts", () => {
    for (const unit of ["<", "%", "%2", "%25", "\ud83d", "a"]) {
      expect(safeText(unit.repeat(1_000_000))).toHaveLength(unit.length * 1_000_000);
    }
  });
});
