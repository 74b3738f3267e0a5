import { expect, test } from "bun:test";
import fc from "fast-check";
import { sha256 } from "../../core/util/sha256.ts";

const webCrypto = async (text: string) =>
  Buffer.from(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toString("hex");

test("gives the values of the standard", () => {
  expect(sha256("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  expect(sha256("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});

test("agrees with the platform's own at every length around a block", async () => {
  for (let length = 0; length <= 200; length++) {
    const text = "x".repeat(length);
    expect(sha256(text)).toBe(await webCrypto(text));
  }
});

test("agrees with the platform's own on any text", async () => {
  const texts = fc.string({ unit: "binary", maxLength: 300 });
  await fc.assert(fc.asyncProperty(texts, async (text) => expect(sha256(text)).toBe(await webCrypto(text))));
});
