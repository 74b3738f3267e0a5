/** How long an answer may take: until its first text, in silence, in all. */
import { expect, test } from "bun:test";
import type { StreamPart } from "../../core/types.ts";
import { fakeClock, settle } from "../fakes/fake-clock.ts";
import { reply, type ScriptedProvider, scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, sseData, testHandler } from "../support/test-handler.ts";

/** A gateway before an upstream that says a word when the test has it do so. */
function spokenTo(env: Record<string, string> = {}) {
  const clock = fakeClock();
  let say: (word: string | undefined) => void = () => {};
  const provider = scriptedProvider({
    async *answer(): AsyncGenerator<StreamPart> {
      while (true) {
        const word = await new Promise<string | undefined>((resolve) => {
          say = resolve;
        });
        if (word === undefined) break;
        yield { type: "text-delta", delta: word };
      }
      yield* reply();
    },
  });
  const { chat, log } = testHandler(env, { providers: [provider], clock });
  return {
    clock,
    provider,
    log,
    chat,
    stream: () => chat({ ...hello, stream: true }),
    async say(word?: string) {
      await settle();
      say(word);
      await settle();
    },
  };
}

const signalOf = ({ requests }: ScriptedProvider) => requests[0]?.context.signal;

const errorOf = (text: string): { code: string; message: string } | undefined =>
  (sseData(text) as { error?: { code: string; message: string } }[]).find(({ error }) => error)?.error;

test("a stream that flows may take longer than API_REQUEST_TIMEOUT", async () => {
  const { stream, say, clock } = spokenTo();
  const answer = stream();
  await say("0");
  const text = (await answer).text();
  for (let word = 1; word <= 10; word++) {
    await clock.advance(100_000);
    await say(String(word));
  }
  await say();
  expect(sseData(await text).at(-1)).toBe("[DONE]");
  expect(clock.pending).toBe(0);
});

test("so may an answer that is wanted whole", async () => {
  const { chat, say, clock } = spokenTo();
  const answer = chat(hello);
  for (const word of "abcd") {
    await clock.advance(100_000);
    await say(word);
  }
  await say();
  expect((await (await answer).json()).choices[0].message.content).toBe("abcd");
});

test("the first text has API_REQUEST_TIMEOUT, and the message says so", async () => {
  const { chat, clock, provider } = spokenTo({ API_REQUEST_TIMEOUT: "90" });
  const answer = chat(hello);
  await clock.advance(90_000);
  const response = await answer;
  expect(response.status).toBe(504);
  const { error } = await response.json();
  expect(error.code).toBe("upstream_timeout");
  expect(error.message).toContain("did not answer within 90 s (API_REQUEST_TIMEOUT)");
  expect(signalOf(provider)?.aborted).toBe(true);
  expect(clock.pending).toBe(0);
});

test("a silence has API_REQUEST_TIMEOUT from the last text on, and the message says so", async () => {
  const { stream, say, clock, provider } = spokenTo({ API_REQUEST_TIMEOUT: "90" });
  const answer = stream();
  await clock.advance(80_000);
  await say("Well");
  const text = (await answer).text();
  await clock.advance(89_999);
  expect(signalOf(provider)?.aborted).toBe(false);
  await clock.advance(1);
  expect(errorOf(await text)).toMatchObject({
    code: "upstream_timeout",
    message: expect.stringContaining(
      "fell silent in the middle of its answer, for 90 s (API_REQUEST_TIMEOUT)",
    ),
  });
  expect(signalOf(provider)?.aborted).toBe(true);
  expect(clock.pending).toBe(0);
});

test.each([
  ["API_TOTAL_TIMEOUT", { API_TOTAL_TIMEOUT: "250" }],
  ["the platform's limit", { PLATFORM_TIME_LIMIT: "255" }],
  ["the platform's, with a longer one of its own", { PLATFORM_TIME_LIMIT: "255", API_TOTAL_TIMEOUT: "600" }],
])("however steadily it flows, an answer ends by %s", async (_, env) => {
  const { stream, say, clock } = spokenTo(env);
  const answer = stream();
  await say("0");
  const text = (await answer).text();
  await clock.advance(100_000);
  await say("1");
  await clock.advance(100_000);
  await say("2");
  await clock.advance(50_000);
  expect(errorOf(await text)).toMatchObject({
    code: "upstream_timeout",
    message: expect.stringContaining("longer than 250 s, which is all that it may (API_TOTAL_TIMEOUT"),
  });
  expect(clock.pending).toBe(0);
});

test("a client that takes nothing holds no upstream, and is no fault of the upstream's", async () => {
  const { stream, say, clock, provider, log } = spokenTo();
  const answer = stream();
  await say("0");
  const reader = (await answer).body?.getReader();
  expect((await reader?.read())?.done).toBe(false);
  await say("1");
  await clock.advance(180_000);
  expect(provider.released).toBe(1);
  await reader?.read();
  await settle();
  expect(log.lines.map(({ fields }) => fields.code)).toContain("client_closed_request");
});
