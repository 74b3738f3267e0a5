import { describe, expect, test } from "bun:test";
import {
  decodeSessionUser,
  fingerprint,
  sessionKey,
  storeKey,
} from "../../core/conversations/session-key.ts";

const keyOf = (sessionId: string | null, user?: string | null) =>
  sessionKey({ sessionId, user, apiKey: "sk-1" });

const problem = (task: () => unknown) => {
  try {
    task();
    return undefined;
  } catch (error) {
    const { code, param } = error as { code: string; param: string };
    return `${code} ${param}`;
  }
};

test.each([
  [null, undefined],
  [null, null],
  [null, ""],
  ["", undefined],
  ["", ""],
])("a call with X-Session-Id %p and user %p is stateless", (sessionId, user) => {
  expect(keyOf(sessionId, user)).toBeUndefined();
});

test("X-Session-Id is taken before user", () => {
  expect(keyOf("chat-1", "alice")).toEqual({ namespace: "session", value: "chat-1", apiKey: "sk-1" });
  expect(keyOf("", "alice")).toEqual({ namespace: "user", value: "alice", apiKey: "sk-1" });
});

describe("X-Session-Id", () => {
  test("has up to 512 visible ASCII characters", () => {
    expect(keyOf("!".repeat(512))?.value).toBe("!".repeat(512));
    expect(problem(() => keyOf("x".repeat(513)))).toBe("invalid_request X-Session-Id");
  });

  test.each(["a b", "a\tb", "caf\u00e9", "\x7f", "a\nb"])("refuses %p", (sessionId) => {
    expect(problem(() => keyOf(sessionId))).toBe("invalid_request X-Session-Id");
  });
});

describe("user", () => {
  test.each([" ", " alice ", "Alice", "漢字", "👩‍👩‍👧‍👦", "\0", "a\u0301"])("takes %p as it is", (user) => {
    expect(keyOf(null, user)?.value).toBe(user);
  });

  test("has up to 4096 bytes in UTF-8", () => {
    expect(keyOf(null, "漢".repeat(1365))?.value).toHaveLength(1365);
    expect(problem(() => keyOf(null, "漢".repeat(1366)))).toBe("invalid_request user");
    expect(keyOf(null, "x".repeat(4096))?.value).toHaveLength(4096);
    expect(problem(() => keyOf(null, "x".repeat(4097)))).toBe("invalid_request user");
  });

  test.each(["\ud83d", "a\udc00b"])("refuses the lone surrogate in %p", (user) => {
    expect(problem(() => keyOf(null, user))).toBe("invalid_request user");
  });
});

test("X-Session-User is percent-encoded UTF-8", () => {
  expect(decodeSessionUser("alice%20%E6%BC%A2")).toBe("alice 漢");
  expect(problem(() => decodeSessionUser("%E6%BC"))).toBe("invalid_request X-Session-User");
});

describe("the key in the store", () => {
  // As version 1.0.0 wrote them: another value would lose every stored conversation with an upgrade.
  test.each([
    [
      { namespace: "session", value: "chat-1", apiKey: "sk-1" },
      "chat:2821d1d7f6910b2fb4338ce04645fcb470ee8c6b547d8033450885f816913b90",
    ],
    [
      { namespace: "user", value: '漢字 "quoted"', apiKey: "" },
      "chat:9c04461fc58f1706641de1e60a6449420ea36069505d94537478efc2f2e7a87d",
    ],
    [
      { namespace: "user", value: "x".repeat(4096), apiKey: "sk-1" },
      "chat:db106557290c3dfdd2b34c476781873c42fd75ee78e16be56a7ad72f973b2fe9",
    ],
  ] as const)("of %j is as it has always been", async (key, expected) => {
    expect(await storeKey(key)).toBe(expected);
  });

  test("differs by namespace, API key and value, wherever one ends and the next begins", async () => {
    const keys = [
      { namespace: "session", value: "a", apiKey: "b" },
      { namespace: "user", value: "a", apiKey: "b" },
      { namespace: "session", value: "b", apiKey: "a" },
      { namespace: "session", value: 'a","b', apiKey: "" },
      { namespace: "session", value: "b", apiKey: 'session","a' },
    ] as const;
    expect(new Set(await Promise.all(keys.map(storeKey))).size).toBe(keys.length);
  });
});

test("a fingerprint is 32 digits, the same for the same text and another for another", async () => {
  const texts = ["", "a", "b", "漢", "a".repeat(100_000)];
  const prints = await Promise.all(texts.map(fingerprint));
  for (const print of prints) expect(print).toMatch(/^[\da-f]{32}$/);
  expect(new Set(prints).size).toBe(texts.length);
  expect(await fingerprint("a")).toBe("ca978112ca1bbdcafac231b39a23dc4d");
});
