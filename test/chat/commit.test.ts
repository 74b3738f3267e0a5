/** How long a stream's headers wait for the first event, so that a failure keeps its true status. */
import { describe, expect, test } from "bun:test";
import { parseConfig } from "../../core/config/config.ts";
import { ApiError } from "../../core/errors.ts";
import { kimiWeb } from "../../core/providers/wordpress-chat/provider.ts";
import type { UpstreamEvent } from "../../core/types.ts";
import { fakeClock } from "../fakes/fake-clock.ts";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, testHandler } from "../support/test-handler.ts";

/** What becomes of a stream whose provider fails after some time. */
async function failAfter(
  ms: number,
  options: { streamCommitMs?: number; env?: Record<string, string>; timeLimitMs?: number } = {},
): Promise<number> {
  const { env = {}, timeLimitMs, ...rest } = options;
  const clock = fakeClock();
  const slow = scriptedProvider({
    async *answer() {
      await new Promise<void>((resolve) => clock.schedule(resolve, ms));
      throw new ApiError("upstream_error", "It failed.");
    },
  });
  const config = parseConfig(env, timeLimitMs === undefined ? {} : { timeLimitMs });
  const { chat } = testHandler({}, { providers: [{ ...slow, ...rest }], clock, config });
  const streaming = chat({ ...hello, stream: true });
  await clock.advance(ms);
  const response = await streaming;
  await clock.advance(1);
  await response.text();
  return response.status;
}

describe("a stream that fails before its first event", () => {
  test("has its true status for 5 s", async () => {
    expect(await failAfter(4_000)).toBe(502);
    expect(await failAfter(6_000)).toBe(200);
  });

  test("has it for as long as the provider says: 25 s for the site, whose replies come whole", async () => {
    const { streamCommitMs } = kimiWeb();
    expect(streamCommitMs).toBe(25_000);
    expect(await failAfter(24_000, { streamCommitMs: 25_000 })).toBe(502);
    expect(await failAfter(26_000, { streamCommitMs: 25_000 })).toBe(200);
  });

  test("has it for as long as STREAM_COMMIT_MS says, whatever the provider does", async () => {
    const env = { STREAM_COMMIT_MS: "1000" };
    expect(await failAfter(2_000, { streamCommitMs: 25_000, env })).toBe(200);
  });

  test("has it no longer than half of the platform's time limit", async () => {
    expect(await failAfter(14_000, { streamCommitMs: 25_000, timeLimitMs: 25_000 })).toBe(200);
    expect(await failAfter(11_000, { streamCommitMs: 25_000, timeLimitMs: 25_000 })).toBe(502);
    expect(await failAfter(24_000, { streamCommitMs: 25_000, timeLimitMs: 60_000 })).toBe(502);
  });
});

describe("a stream that has begun", () => {
  const forever = new Promise<never>(() => {});
  const streamOf = (first: UpstreamEvent) => {
    const provider = scriptedProvider({
      async *answer() {
        yield first;
        await forever;
      },
    });
    return testHandler({}, { providers: [provider] }).chat({ ...hello, stream: true });
  };

  test("has its first text ready together with its headers", async () => {
    const response = await streamOf({ parts: [{ type: "text-delta", delta: "Hello" }] });
    const reading = response.body?.getReader().read();
    const first = await Promise.race([reading, Promise.resolve().then(() => "nothing")]);
    expect(new TextDecoder().decode((first as { value: Uint8Array }).value)).toContain('"content":"Hello"');
  });

  test("has its headers sent though the first event says nothing to the client", async () => {
    const usage = { promptTokens: 1, completionTokens: 0, totalTokens: 1 };
    const response = await streamOf({ parts: [{ type: "usage", usage }] });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-served-by")).toBe("scripted/test-model");
    await response.body?.cancel();
  });
});
