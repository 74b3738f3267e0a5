import { expect, test } from "bun:test";
import { sha256Hex } from "../../core/util/hash.ts";

// https://csrc.nist.gov/projects/cryptographic-standards-and-guidelines/example-values
test.each([
  ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
  ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  ["漢", "fc9f0d61dd80076ae5f0e41688aa0c3e8727b232b7a8c40c4f0671e0cd5d94c9"],
])("the hash of %p in UTF-8", async (text, expected) => {
  expect(await sha256Hex(text)).toBe(expected);
});
