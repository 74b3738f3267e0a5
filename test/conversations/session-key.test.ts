import { describe, expect, test } from "bun:test";
import {
  decodeSessionUser,
  fingerprint,
  sessionKey,
  storeKey,
} from "../../core/conversations/session-key.ts";

const named = (headers: Record<string, string>, sessionHeaders: readonly string[]) =>
  sessionKey({ headers: new Headers(headers), sessionHeaders, user: "alice", apiKey: "sk-1" });

/** With a header as it came; `Headers` would take away what a server might let through. */
const keyOf = (sessionId: string | null, user?: string | null) =>
  sessionKey({
    headers: { get: () => sessionId } as unknown as Headers,
    sessionHeaders: ["X-Session-Id"],
    user,
    apiKey: "sk-1",
  });

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

describe("what a client's template leaves where it has no id", () => {
  test.each([
    "{{LIBRECHAT_BODY_CONVERSATIONID}}",
    "chat-{{ chatId }}",
    "$" + "{chatId}",
    "chat-$" + "{chatId}-1",
    "%{chat_id}",
    "#{chat_id}",
    "{chat_id}",
    "<chat-id>",
    "%CHAT_ID%",
    "$CHAT_ID",
    "undefined",
    "null",
    "NULL",
    "None",
    "nil",
    "<nil>",
    "(null)",
    "NaN",
    "[object Object]",
    "00000000-0000-0000-0000-000000000000",
    "00000000000000000000000000000000",
  ])("%p is refused by the header's name", (sessionId) => {
    expect(problem(() => keyOf(sessionId))).toBe("invalid_request X-Session-Id");
  });

  test.each([
    "nullable",
    "none-1",
    "undefined-behaviour",
    "0",
    "00000000-0000-0000-0000-000000000001",
    "a{b}c",
    "50%",
    "$5",
    "a$b",
  ])("%p is an id", (sessionId) => {
    expect(keyOf(sessionId)?.value).toBe(sessionId);
  });
});

describe("the headers that name a conversation", () => {
  const both = ["X-OpenWebUI-Chat-Id", "session_id"];

  test("are taken in the order of the list, whatever else there is", () => {
    expect(named({ session_id: "b", "x-openwebui-chat-id": "a" }, both)?.value).toBe("a");
    expect(named({ session_id: "b", "x-openwebui-chat-id": "" }, both)?.value).toBe("b");
    expect(named({ "x-session-id": "c" }, both)).toMatchObject({ namespace: "user", value: "alice" });
  });

  test("name the same conversation with the same id", () => {
    expect(named({ session_id: "a" }, both)).toEqual(named({ "x-openwebui-chat-id": "a" }, both));
  });

  test("are named in a refusal", () => {
    expect(problem(() => named({ session_id: "null" }, both))).toBe("invalid_request session_id");
    expect(problem(() => named({ session_id: "a b" }, both))).toBe("invalid_request session_id");
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
