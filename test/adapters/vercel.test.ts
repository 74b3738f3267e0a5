import { afterEach, expect, test } from "bun:test";
import vercel from "../../adapters/vercel.ts";

const requestContext = Symbol.for("@vercel/request-context");
const platform = globalThis as { [requestContext]?: unknown };

afterEach(() => {
  delete platform[requestContext];
});

test("what goes on after an answer is handed to the platform's waitUntil", async () => {
  const waited: Promise<unknown>[] = [];
  platform[requestContext] = { get: () => ({ waitUntil: (task: Promise<unknown>) => waited.push(task) }) };
  expect((await vercel.fetch(new Request("http://127.0.0.1/health"))).status).toBe(200);
  expect(waited).not.toEqual([]);
  await Promise.all(waited);
});

test("requests are answered where the platform has no such thing", async () => {
  expect((await vercel.fetch(new Request("http://127.0.0.1/health"))).status).toBe(200);
});
