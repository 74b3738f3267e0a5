/** What the store contract doesn't ask of Netlify Blobs: their failures, their missing end of life, their context. */
import { afterEach, expect, test } from "bun:test";
import { netlifyBlobsStore } from "../../core/stores/netlify-blobs.ts";
import { blobsServer } from "../fakes/blobs-server.ts";
import { fakeClock } from "../fakes/fake-clock.ts";

const ttlMs = 60_000;
const servers: ReturnType<typeof blobsServer>[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => server.stop())));

const setUp = ({ random = (): number => 0.5 } = {}) => {
  const server = blobsServer();
  servers.push(server);
  const clock = fakeClock();
  const store = netlifyBlobsStore({ context: () => server.context, clock, random });
  return { server, clock, store };
};

const failure = async (task: unknown): Promise<string> => {
  try {
    await task;
    return "none";
  } catch (error) {
    return (error as Error).message;
  }
};

test.each([401, 403, 409, 429, 500, 503])(
  "a conditional write that ends in %d is no write",
  async (status) => {
    const { server, store } = setUp();
    const version = (await store.set("key", "one", { ttlMs })) as string;
    for (const ifVersion of [version, null]) {
      server.failNext(status);
      expect(await failure(store.set("key", "two", { ttlMs, ifVersion }))).toBe(
        `Netlify Blobs answered with status ${status}`,
      );
    }
    server.failNext(status);
    expect(await failure(store.get("key"))).toBe(`Netlify Blobs answered with status ${status}`);
    expect((await store.get("key"))?.value).toBe("one");
  },
);

test("a read and a write of a conversation are one request each", async () => {
  const { server, store } = setUp();
  const found = await store.get("key");
  await store.set("key", "one", { ttlMs, ifVersion: found?.version ?? null });
  const again = await store.get("key");
  await store.set("key", "two", { ttlMs, ifVersion: again?.version ?? null });
  expect(server.methods).toEqual(["GET", "PUT", "GET", "PUT"]);
});

test("a weakened ETag names the same value", async () => {
  const { server, store } = setUp();
  server.weakens = true;
  await store.set("key", "one", { ttlMs });
  const found = await store.get("key");
  expect(await store.set("key", "two", { ttlMs, ifVersion: found?.version ?? null })).toBeDefined();
});

test("an equal value written anew has another version", async () => {
  const { store } = setUp();
  const first = (await store.set("key", "same", { ttlMs })) as string;
  await store.set("key", "same", { ttlMs });
  expect(await store.set("key", "two", { ttlMs, ifVersion: first })).toBeUndefined();
});

test("an answer without an ETag, such as that of Netlify's local server, is an error", async () => {
  const context = setUp().server.context;
  const store = netlifyBlobsStore({ context: () => context, fetch: async () => new Response("1 x") });
  expect(await failure(store.get("key"))).toBe("Netlify Blobs named no ETag");
  expect(await failure(store.set("key", "one", { ttlMs, ifVersion: null }))).toBe(
    "Netlify Blobs named no ETag",
  );
});

test("each call is made with the context of its own", async () => {
  const { server } = setUp();
  const asked: (string | undefined)[] = [undefined, server.context];
  const store = netlifyBlobsStore({ context: () => asked.shift() });
  expect(await failure(store.get("key"))).toBe("Netlify has handed no Blobs to this call");
  expect(await store.get("key")).toBeUndefined();
});

test.each([btoa("{}"), btoa("no JSON"), btoa('{"uncachedEdgeURL":"https://blobs.test","siteID":"1"}')])(
  "a context that lacks something is an error: %s",
  async (context) => {
    const store = netlifyBlobsStore({ context: () => context });
    expect(await failure(store.get("key"))).toBe("Netlify has handed no Blobs to this call");
  },
);

test("values past their time are swept by later writes, and no others", async () => {
  let at = 0;
  /** One write in 50 sweeps, here each; the place goes round. */
  const random = () => (at++ % 2 === 0 ? 0 : ((at / 2) % 256) / 256);
  const { server, clock, store } = setUp({ random });
  for (let each = 0; each < 20; each++) await store.set(`old-${each}`, "x", { ttlMs });
  await clock.advance(ttlMs);
  for (let each = 0; each < 256; each++) await store.set("kept", "x", { ttlMs });
  expect(server.size).toBe(1);
  expect((await store.get("kept"))?.value).toBe("x");
});
