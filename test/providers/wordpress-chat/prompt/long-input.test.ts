import { expect, test } from "bun:test";
import {
  type CondensingOptions,
  condenseLongInput,
} from "../../../../core/providers/wordpress-chat/prompt/long-input.ts";
import { defaultLabels } from "../../../../core/providers/wordpress-chat/settings.ts";
import type { ChatMessage, SessionStore } from "../../../../core/types.ts";
import { sleep } from "../../../../core/util/time.ts";
import { countingStore } from "../../../fakes/counting-store.ts";
import { fakeClock } from "../../../fakes/fake-clock.ts";
import { recordingLogger } from "../../../fakes/recording-logger.ts";

const question: ChatMessage = { role: "user", text: "word ".repeat(600).trim(), native: {} };

function setUp(changes: Partial<CondensingOptions> & { signal?: AbortSignal } = {}) {
  const { signal = new AbortController().signal, ...rest } = changes;
  const clock = fakeClock();
  const log = recordingLogger();
  const store: SessionStore = countingStore(clock);
  const options: CondensingOptions = {
    maxChars: 1000,
    labels: defaultLabels,
    longInput: { mode: "condense", maxCalls: 8, ttlMs: 86_400_000 },
    store,
    clock,
    context: { signal, requestId: "r", log, deadlineMs: clock.now() + 60_000 },
    ask: async () => "in short",
    ...rest,
  };
  return { clock, log, store, options };
}

test("half of the request's time is left for the answer: then the text stays as it is, to be shortened", async () => {
  const { clock, log, options } = setUp();
  const slow = { ...options, ask: (_: string, { signal }: { signal: AbortSignal }) => wait(signal) };
  const wait = (signal: AbortSignal) => sleep(3_600_000, { clock, signal }).then(() => "late");
  const condensing = condenseLongInput([question], slow);
  await clock.advance(29_000);
  expect(log.lines).toEqual([]);
  await clock.advance(1_000);
  const { messages, condensed } = await condensing;
  expect(messages).toEqual([question]);
  expect(condensed).toMatchObject({ fromChars: 2999, toChars: 0, failed: true });
  expect(log.lines.map(({ event, fields }) => [event, fields.reason])).toEqual([
    ["condensing.failed", "upstream_timeout"],
  ]);
  expect(clock.pending).toBe(0);
});

test("a client that leaves ends it", async () => {
  const leaving = new AbortController();
  const { clock, options } = setUp({ signal: leaving.signal });
  const ask = (_: string, { signal }: { signal: AbortSignal }) =>
    sleep(3_600_000, { clock, signal }).then(() => "late");
  const condensing = condenseLongInput([question], { ...options, ask });
  leaving.abort(new Error("gone"));
  await expect(condensing).rejects.toThrow("gone");
  expect(clock.pending).toBe(0);
});

test("a condensed text is known until LONG_INPUT_TTL is over", async () => {
  let calls = 0;
  const { clock, options } = setUp();
  const counted = {
    ...options,
    ask: async () => {
      calls += 1;
      return "in short";
    },
  };
  await condenseLongInput([question], counted);
  const first = calls;
  await clock.advance(86_000_000);
  expect((await condenseLongInput([question], counted)).condensed).toMatchObject({ calls: 0, failed: false });
  await clock.advance(500_000);
  await condenseLongInput([question], counted);
  expect(calls).toBe(2 * first);
});

test("a store that fails is done without", async () => {
  const { log, options } = setUp();
  const broken = countingStore(options.clock);
  broken.failing = "all";
  const { messages } = await condenseLongInput([question], { ...options, store: broken });
  expect(messages[0]?.text).toStartWith("[condensed from 2999 characters] in short");
  expect(log.lines.map(({ event }) => event)).toEqual(["condensing.not_stored", "condensing.not_stored"]);
  const { condensed } = await condenseLongInput([question], { ...options, store: undefined });
  expect(condensed?.calls).toBeGreaterThan(0);
});

test("no text of a message stands under its own words in the store", async () => {
  const { options } = setUp();
  const store = countingStore(options.clock);
  await condenseLongInput([question], { ...options, store });
  expect([...store.entries.keys()].map((key) => key.replace(/[0-9a-f]{64}$/, "HASH"))).toEqual([
    "condensed:HASH",
  ]);
});
