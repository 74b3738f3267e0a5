/** What users of bridges like this one report most: a context that is lost, or one chat that leaks into another. */
import { describe, expect, test } from "bun:test";
import { ApiError } from "../../core/errors.ts";
import { failure, reply, scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, testHandler } from "../support/test-handler.ts";

const twoKeys = '{"ann":"sk-ann","bob":"sk-bob"}';

interface Call {
  readonly apiKey?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly fields?: object;
}

const setUp = () => {
  let failures = 0;
  const provider = scriptedProvider({
    answer: ({ messages }) =>
      failures-- > 0
        ? failure(new ApiError("upstream_unavailable", "Down."))
        : reply(`re ${messages.at(-1)?.text}`),
  });
  const { chat, send } = testHandler({ API_KEYS: twoKeys }, { providers: [provider] });
  const as = (apiKey: string, headers = {}) => ({
    headers: { authorization: `Bearer ${apiKey}`, ...headers },
  });

  /** Sends texts of user and assistant in turn; resolves to the status. */
  const say = async (texts: readonly string[], { apiKey = "sk-ann", headers, fields }: Call = {}) => {
    const messages = texts.map((content, at) => ({ role: at % 2 === 0 ? "user" : "assistant", content }));
    const response = await chat({ ...hello, messages, ...fields }, as(apiKey, headers));
    await response.text();
    return response.status;
  };

  return {
    say,
    chat: (body: object) => chat(body, as("sk-ann")),
    /** What the model was told in the newest call. */
    told: () => provider.requests.at(-1)?.request.messages.map(({ text }) => text),
    calls: () => provider.requests.length,
    /** The next calls of the model fail. */
    failNext: (count: number) => {
      failures = count;
    },
    remembered: async (headers: Record<string, string>): Promise<string[]> => {
      const shown = await (await send("/v1/session", as("sk-ann", headers))).json();
      return shown.messages.map(({ content }: { content: string }) => content);
    },
  };
};

const user = { fields: { user: "ann@example.com" } };

describe("two chats of one user in a client that keeps its history", () => {
  test("never see each other, in whatever order they go on", async () => {
    const { say, told } = setUp();
    await say(["A1"], user);
    await say(["A1", "re A1", "A2"], user);
    expect(told()).toEqual(["A1", "re A1", "A2"]);
    await say(["B1"], user);
    expect(told()).toEqual(["B1"]);
    await say(["A1", "re A1", "A2", "re A2", "A3"], user);
    expect(told()).toEqual(["A1", "re A1", "A2", "re A2", "A3"]);
    await say(["B1", "re B1", "B2"], user);
    expect(told()).toEqual(["B1", "re B1", "B2"]);
    await say(["C1"], user);
    expect(told()).toEqual(["C1"]);
  });

  test("never see each other where an answer failed or was stopped", async () => {
    const { say, told, failNext } = setUp();
    await say(["A1"], user);
    failNext(1);
    expect(await say(["A1", "re A1", "A2"], user)).toBe(503);
    await say(["B1"], user);
    expect(told()).toEqual(["B1"]);
  });

  test("keep apart from the very first one, each under its X-Session-Id", async () => {
    const { say, told } = setUp();
    const chatA = { ...user, headers: { "x-session-id": "chat-a" } };
    const chatB = { ...user, headers: { "x-session-id": "chat-b" } };
    await say(["A1"], chatA);
    await say(["B1"], chatB);
    expect(told()).toEqual(["B1"]);
    await say(["A1", "re A1", "A2"], chatA);
    await say(["B1", "re B1", "B2"], chatB);
    expect(told()).toEqual(["B1", "re B1", "B2"]);
  });
});

describe("title-generation side requests", () => {
  const prompt = "Write a title for: A1 / re A1";
  const title = (fields: object) => ({
    ...hello,
    ...fields,
    messages: [
      { role: "system", content: "You write titles." },
      { role: "user", content: prompt },
    ],
  });

  test("under the chat's user, once the client is known to keep its history, neither see nor change anything", async () => {
    const { say, chat, told, remembered } = setUp();
    await say(["A1"], user);
    await say(["A1", "re A1", "A2"], user);
    await chat(title(user.fields));
    expect(told()).toEqual(["You write titles.", prompt]);
    await say(["A1", "re A1", "A2", "re A2", "A3"], user);
    expect(told()).toEqual(["A1", "re A1", "A2", "re A2", "A3"]);
    await say(["B1"], user);
    expect(told()).toEqual(["B1"]);
    expect(await remembered({ "x-session-user": encodeURIComponent("ann@example.com") })).toEqual([]);
  });

  test("after a first message stay out of the chat that goes on", async () => {
    const { say, chat, told } = setUp();
    await say(["A1"], user);
    await chat(title(user.fields));
    await say(["A1", "re A1", "A2"], user);
    expect(told()).toEqual(["A1", "re A1", "A2"]);
  });

  test("without a user stay out of everything", async () => {
    const { say, chat, told } = setUp();
    await say(["A1"], user);
    await chat(title({}));
    expect(told()).toEqual(["You write titles.", prompt]);
    await say(["A2"], user);
    expect(told()).toEqual(["A1", "re A1", "A2"]);
  });
});

test.each([
  ["X-Session-Id", { headers: { "x-session-id": "chat-a" } }],
  ["user", user],
] as const)(
  "regenerate, under %s: the reply is made anew, from the turns before it alone",
  async (_, session) => {
    const { say, told, calls } = setUp();
    await say(["A1"], session);
    await say(["A1", "re A1", "A2"], session);
    await say(["A1", "re A1", "A2"], session);
    expect(told()).toEqual(["A1", "re A1", "A2"]);
    expect(calls()).toBe(3);
  },
);

test("regenerate, under X-Session-Id: the new reply takes the place of the old one in what is remembered", async () => {
  const { say, remembered } = setUp();
  const session = { headers: { "x-session-id": "chat-a" } };
  await say(["A1"], session);
  await say(["A1", "re A1", "A2"], session);
  await say(["A1", "re A1", "A2"], session);
  expect(await remembered(session.headers)).toEqual(["A1", "re A1", "A2", "re A2"]);
  await say(["A3"], session);
  expect(await remembered(session.headers)).toEqual(["A1", "re A1", "A2", "re A2", "A3", "re A3"]);
});

test.each([
  ["X-Session-Id", { headers: { "x-session-id": "chat-a" } }],
  ["user", user],
] as const)(
  "edit an earlier message, under %s: what came after the old one is forgotten",
  async (_, session) => {
    const { say, told } = setUp();
    await say(["A1"], session);
    await say(["A1", "re A1", "A2"], session);
    await say(["A1", "re A1", "A2", "re A2", "A3"], session);
    await say(["A1", "re A1", "A2, edited"], session);
    expect(told()).toEqual(["A1", "re A1", "A2, edited"]);
    await say(["A1", "re A1", "A2, edited", "re A2, edited", "A4"], session);
    expect(told()).toEqual(["A1", "re A1", "A2, edited", "re A2, edited", "A4"]);
  },
);

test("the same user under two API keys: two conversations", async () => {
  const { say, told } = setUp();
  const asBob = { ...user, apiKey: "sk-bob" };
  await say(["of Ann"], user);
  await say(["of Bob"], asBob);
  expect(told()).toEqual(["of Bob"]);
  await say(["more of Ann"], user);
  expect(told()).toEqual(["of Ann", "re of Ann", "more of Ann"]);
  // Nor does Bob's client decide for Ann's.
  await say(["x", "re x", "y"], asBob);
  await say(["still Ann"], user);
  expect(told()).toHaveLength(5);
});

test.each(["", null, undefined])('user: "" and the like (%p): strangers share nothing', async (nobody) => {
  const { say, told } = setUp();
  const anonymous = { fields: { user: nobody } };
  await say(["mine"], anonymous);
  await say(["yours"], anonymous);
  expect(told()).toEqual(["yours"]);
});

describe("a client that posts a failed request three times", () => {
  const session = { "x-session-id": "chat-a" };
  const attempt = (count: number) => ({ headers: { ...session, "x-stainless-retry-count": String(count) } });

  test("has its message once in the conversation", async () => {
    const { say, told, failNext, remembered } = setUp();
    await say(["A1"], attempt(0));
    failNext(2);
    expect([
      await say(["A2"], attempt(0)),
      await say(["A2"], attempt(1)),
      await say(["A2"], attempt(2)),
    ]).toEqual([503, 503, 200]);
    expect(told()).toEqual(["A1", "re A1", "A2"]);
    expect(await remembered(session)).toEqual(["A1", "re A1", "A2", "re A2"]);
  });

  test("has no trace of it where all three failed", async () => {
    const { say, told, failNext, remembered } = setUp();
    failNext(3);
    for (let count = 0; count < 3; count++) expect(await say(["lost"], attempt(count))).toBe(503);
    expect(await remembered(session)).toEqual([]);
    await say(["A1"], attempt(0));
    expect(told()).toEqual(["A1"]);
  });

  test("gets the reply that it has missed, and the model is asked once", async () => {
    const { say, calls, remembered } = setUp();
    for (let count = 0; count < 3; count++) expect(await say(["A1"], attempt(count))).toBe(200);
    expect(calls()).toBe(1);
    expect(await remembered(session)).toEqual(["A1", "re A1"]);
  });
});
