import { describe, expect, test } from "bun:test";
import { decodeSessionUser, sessionKey } from "../../core/conversations/session-key.ts";

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
