import { expect, spyOn, test } from "bun:test";
import { selfConfiguring } from "../../adapters/self-configuring.ts";
import { schemaErrors } from "../support/openai-schema.ts";

const health = () => new Request("http://127.0.0.1/health");

test("settings that can't be used are a 500 in OpenAI's shape, and the reason is in the log alone", async () => {
  const logged = spyOn(console, "error").mockImplementation(() => {});
  const { fetch } = selfConfiguring(() => ({ environment: { PORT: "x" }, preferredStores: ["memory"] }));
  const response = await fetch(health());
  const body = await response.json();
  expect(response.status).toBe(500);
  expect(schemaErrors("ErrorResponse", body)).toEqual([]);
  expect(JSON.stringify(body)).not.toContain("PORT");
  expect(logged.mock.calls.flat().join()).toContain("PORT");
  logged.mockRestore();
});

test("a store that could not be opened is opened by a later request", async () => {
  const logged = spyOn(console, "error").mockImplementation(() => {});
  let isDown = true;
  const { fetch } = selfConfiguring(() => ({
    environment: { SESSION_STORE: "deno-kv", LOG_LEVEL: "silent" },
    preferredStores: ["memory"],
    drivers: {
      openKv: async () => {
        if (isDown) throw new Error("no connection");
        return { get: async () => ({ value: null, versionstamp: null }) } as never;
      },
    },
  }));
  expect((await fetch(health())).status).toBe(500);
  isDown = false;
  expect((await fetch(health())).status).toBe(200);
  logged.mockRestore();
});
