/** What the contract, which runs in workerd (test/e2e/platforms), can't bring about: calls that fail on their way. */
import { expect, test } from "bun:test";
import { findConversations } from "../../adapters/runtime.ts";
import { type Conversations, durableObjectStore } from "../../core/stores/durable-object.ts";
import { memoryObject } from "../fakes/memory-object.ts";

/** Objects of this process; `failures` are thrown by the calls to come, in order, after or before the object has seen them. */
const setUp = (...failures: readonly { readonly error: Error; readonly isSeen: boolean }[]) => {
  const objects = new Map<string, Conversations>();
  const pending = [...failures];
  const namespace = {
    idFromName: (name: string) => name,
    get: (id: unknown) => ({
      async fetch(url: string, init: RequestInit) {
        const object = objects.get(id as string) ?? memoryObject();
        objects.set(id as string, object);
        const failure = pending.shift();
        if (failure === undefined) return object.fetch(new Request(url, init));
        if (failure.isSeen) await object.fetch(new Request(url, init));
        throw failure.error;
      },
    }),
  };
  return { store: durableObjectStore({ namespace, prefix: "p:" }), objects };
};

const ttlMs = 60_000;
const moved = Object.assign(new Error("The object was reset because its code was updated"), {
  retryable: true,
});
const overloaded = Object.assign(new Error("Too many requests"), { retryable: true, overloaded: true });

test("repeats a write that Cloudflare lost on its way, and finds it done if it was done", async () => {
  for (const isSeen of [true, false]) {
    const { store } = setUp({ error: moved, isSeen });
    const version = await store.set("key", "value", { ttlMs, ifVersion: null });
    expect(await store.get("key")).toEqual({ value: "value", version: version as string });
  }
});

test.each([
  ["fails again", [moved, moved]],
  ["is overloaded", [overloaded]],
  ["fails for another reason", [new Error("Internal error")]],
])("rejects when an object %s", async (_, errors) => {
  const { store } = setUp(...errors.map((error) => ({ error, isSeen: false })));
  expect(await (store.get("key") as Promise<unknown>).catch((error: Error) => error.message)).toBe(
    errors[0]?.message,
  );
});

test("rejects an answer that is none of its own", async () => {
  const answers = [new Response("", { status: 500 }), new Response("no version")];
  const namespace = {
    idFromName: (name: string) => name,
    get: () => ({ fetch: async () => answers.shift() as Response }),
  };
  const store = durableObjectStore({ namespace });
  await expect(store.get("key") as Promise<unknown>).rejects.toThrow("answered with status 500");
  await expect(store.get("key") as Promise<unknown>).rejects.toThrow("named no version");
});

test("gives each key an object of its own, under the prefix", async () => {
  const { store, objects } = setUp();
  await store.set("one", "1", { ttlMs });
  await store.set("two", "2", { ttlMs });
  expect([...objects.keys()]).toEqual(["p:one", "p:two"]);
});

test("an alarm that rings early leaves the value alone", async () => {
  const { store, objects } = setUp();
  await store.set("key", "value", { ttlMs });
  await objects.get("p:key")?.alarm();
  expect((await store.get("key"))?.value).toBe("value");
});

test.each([
  ["no bindings", undefined],
  ["a Worker without the binding", { API_MASTER_KEY: "sk" }],
  ["a variable of that name", { CONVERSATIONS: "on" }],
  ["a binding of another kind", { CONVERSATIONS: { get: () => {} } }],
])("is not found in %s", (_, bindings) => {
  expect(findConversations(bindings)).toBeUndefined();
});
