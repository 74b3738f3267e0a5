/** A machine's clock that is set, back or forth: durations go on as before. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ApiError } from "../../core/errors.ts";
import { fakeClock } from "../fakes/fake-clock.ts";
import { failure, scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, testHandler } from "../support/test-handler.ts";

const root = join(import.meta.dir, "../..");
const hourMs = 3_600_000;

describe.each([-hourMs, hourMs])("when the clock is set by %d ms", (byMs) => {
  test("rate limits count on", async () => {
    const clock = fakeClock();
    const { chat } = testHandler({ RATE_LIMIT_RPM: "1" }, { clock });
    expect((await chat(hello)).status).toBe(200);
    clock.setWall(byMs);
    expect((await chat(hello)).status).toBe(429);
    await clock.advance(60_000);
    expect((await chat(hello)).status).toBe(200);
  });

  test("circuits close when their time is over, and not before", async () => {
    const clock = fakeClock();
    const provider = scriptedProvider({
      answer: () => failure(new ApiError("upstream_challenge", "Prove it.")),
    });
    const { chat } = testHandler({}, { clock, providers: [provider] });
    await chat(hello);
    clock.setWall(byMs);
    await chat(hello);
    expect(provider.requests).toHaveLength(1);
    await clock.advance(15_000);
    await chat(hello);
    expect(provider.requests).toHaveLength(2);
  });

  test("the facts of a request have its true duration", async () => {
    const clock = fakeClock();
    const provider = scriptedProvider({
      answer: () => {
        clock.setWall(byMs);
        return failure(new ApiError("upstream_error", "No."));
      },
    });
    const { chat, records } = testHandler({}, { clock, providers: [provider] });
    await chat(hello);
    expect(records[0]).toMatchObject({ ms: 0, upstreamMs: 0 });
  });
});

/** What needs a point in time: what others see, or what outlives the process. */
const wallClockUsers = [
  "core/chat/exchange.ts",
  "core/conversations/conversations.ts",
  "core/conversations/record-store.ts",
  "core/conversations/responses.ts",
  "core/dialects/openai-responses/encoder.ts",
  "core/http/access.ts",
  "core/operations/log.ts",
  "core/operations/recent-requests.ts",
  "core/providers/openai-compatible/provider.ts",
  "core/providers/wordpress-chat/nonce/credential-store.ts",
  "core/providers/wordpress-chat/nonce/credentials.ts",
  "core/providers/wordpress-chat/protocol/answer.ts",
  "core/providers/wordpress-chat/protocol/stream.ts",
  "core/providers/wordpress-chat/site-client.ts",
  "core/providers/wordpress-chat/talk.ts",
  "core/routing/shared-circuits.ts",
  "core/routing/upstreams.ts",
  "core/stores/deno-kv.ts",
  "core/stores/durable-object.ts",
  "core/stores/netlify-blobs.ts",
  "core/stores/spend-by-version.ts",
  "core/stores/sqlite.ts",
  "core/stores/watch-store.ts",
  "core/util/fair-cache.ts",
  "core/util/time.ts",
];

test("nothing else reads the wall clock", () => {
  const users = [...new Bun.Glob("core/**/*.ts").scanSync(root)].filter((path) =>
    /\bclock\.now\(|\bDate\.now\b|\bnew Date\(\)|\bnow: \(\) =>/.test(readFileSync(join(root, path), "utf8")),
  );
  expect(users.sort()).toEqual(wallClockUsers);
});
