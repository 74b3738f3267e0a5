import { expect, test } from "bun:test";
import { durableObjectStore } from "../../../core/stores/durable-object.ts";
import { gatewayContract } from "../../contracts/gateway.ts";
import { casesFor } from "../../contracts/store.ts";
import { startServer } from "../../support/start-server.ts";
import { until } from "../../support/until.ts";
import { acrossProcesses } from "../sessions/across-processes.ts";
import { conversation } from "../sessions/conversation.ts";
import { limitsAcross } from "../sessions/limits-across.ts";
import { built } from "./support/built.ts";
import { durableObjects } from "./support/durable-objects.ts";
import { alwaysExposed, endsAtOnce } from "./support/skips.ts";
import { missingTools, workerd } from "./support/tools.ts";

if (missingTools !== undefined) test.skip(`Durable Objects (skipped: ${missingTools})`, () => {});
else {
  const objects = await durableObjects();
  const store = durableObjectStore({ namespace: objects.namespace, prefix: "test:" });

  for (const { name, run } of casesFor({ name: "durable-object", keepsTime: true, open: () => store }))
    test(name, run);

  test("durable-object: keeps values longer than a row, growing and shrinking", async () => {
    const key = crypto.randomUUID();
    for (const megabytes of [5, 2, 4, 1, 3]) {
      const value = `${megabytes}é`.repeat(megabytes * 250_000);
      const version = await store.set(key, value, { ttlMs: 60_000 });
      const found = await store.get(key);
      expect(found?.version).toBe(version as string);
      expect(found?.value === value).toBe(true);
    }
  });

  test("durable-object: an object whose value's time is over holds nothing any more", async () => {
    const key = crypto.randomUUID();
    await store.set(key, "x".repeat(3_000_000), { ttlMs: 300 });
    expect(await objects.entries(`test:${key}`)).toBe(4);
    await until(async () => (await objects.entries(`test:${key}`)) === 0);
  });

  test("durable-object: a value that was written anew outlives the alarm of the one before", async () => {
    const [short, long] = [crypto.randomUUID(), crypto.randomUUID()];
    await store.set(long, "one", { ttlMs: 200 });
    await store.set(long, "two", { ttlMs: 60_000 });
    await store.set(short, "later than that alarm", { ttlMs: 400 });
    await until(async () => (await objects.entries(`test:${short}`)) === 0);
    expect((await store.get(long))?.value).toBe("two");
  });

  test("a Worker without the binding and without Redis runs on memory, and says so", async () => {
    const server = await startServer({ command: [...workerd, await built("single-file")] });
    const { sessions } = await (await fetch(`${server.url}/health`)).json();
    expect(sessions).toMatchObject({ store: "memory", shared: false });
    await server.stop();
  });

  gatewayContract("dist/handler.js on Workers with Durable Objects", {
    start: async (env) =>
      startServer({ command: [...workerd, await built("single-file"), "--objects"], env }),
    store: "durable-object",
    skips: { ...alwaysExposed, ...endsAtOnce },
  });

  const group = await acrossProcesses("three Workers on the same Durable Objects", {
    count: 3,
    command: [...workerd, await built("single-file"), "--objects", "--registry", objects.folder],
    env: {},
    turns: 60,
    conversations: 10,
  });

  limitsAcross("three Workers on the same Durable Objects", {
    command: [...workerd, await built("single-file"), "--objects", "--registry", objects.folder],
    isSlow: true,
    open: async () => ({ env: {}, end: async () => {} }),
  });

  test("a turn whose Worker dies goes on at the others, and nothing that was finished is lost", async () => {
    const chat = conversation(group, 3, "killed");
    await chat.say(0);
    const victim = await group.start();
    const during = chat.say(victim).catch(() => {});
    group.kill(victim);
    await during;
    await chat.say(1);
    await chat.check(2);
  });
}
