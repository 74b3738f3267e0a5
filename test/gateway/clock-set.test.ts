/** A machine's clock that is set, back or forth: durations go on as before. */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ApiError } from "../../core/errors.ts";
import { sqliteStore } from "../../core/stores/sqlite.ts";
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

  test("limits that the store counts by the clock keep nobody away for longer than their own time", async () => {
    const clock = fakeClock();
    const store = sqliteStore({ database: new Database(":memory:"), clock });
    const API_KEYS = '{"ann":{"key":"sk-ann","rpm":1,"tokensPerDay":5}}';
    const { chat } = testHandler({ RATE_LIMIT_SHARED: "on", API_KEYS }, { clock, store });
    const ask = async () => (await chat(hello, { headers: { authorization: "Bearer sk-ann" } })).status;
    expect([await ask(), await ask()]).toEqual([200, 429]);
    clock.setWall(byMs);
    // An hour ahead the minute seems to be over, an hour behind it counts from here.
    expect(await ask()).toBe(byMs > 0 ? 200 : 429);
    await clock.advance(60_000);
    if (byMs < 0) expect(await ask()).toBe(200);
    await clock.advance(60_000);
    // Its tokens are used up, until a day is over by whatever clock.
    expect(await ask()).toBe(429);
    clock.setWall(-365 * 24 * hourMs);
    expect(await ask()).toBe(429);
    await clock.advance(60_000);
    expect(await ask()).toBe(429);
    await clock.advance(24 * hourMs);
    expect(await ask()).toBe(200);
  });

  test("a conversation goes on, or is over; nothing fails", async () => {
    const clock = fakeClock();
    const store = sqliteStore({ database: new Database(":memory:"), clock });
    const { chat, provider } = testHandler({ SESSION_CACHE_TTL: "1800" }, { clock, store });
    const headers = { "x-session-id": "one" };
    await chat(hello, { headers });
    clock.setWall(byMs);
    const answer = await chat(hello, { headers });
    expect([answer.status, answer.headers.get("x-session-saved")]).toEqual([200, null]);
    // An hour ahead its half hour is over; an hour behind it has an hour more.
    expect(provider.requests.at(-1)?.request.messages).toHaveLength(byMs > 0 ? 1 : 3);
    await chat(hello, { headers });
    expect(provider.requests.at(-1)?.request.messages).toHaveLength(byMs > 0 ? 3 : 5);
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
