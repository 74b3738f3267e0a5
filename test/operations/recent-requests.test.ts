import { describe, expect, test } from "bun:test";
import { hello, testHandler } from "../support/test-handler.ts";

describe("GET /requests", () => {
  test("has the facts of the newest requests, the newest first, and no text of any", async () => {
    const { chat, send } = testHandler({ API_KEYS: '{"ann":"sk-ann"}' });
    const headers = { authorization: "Bearer sk-ann" };
    await chat({ ...hello, messages: [{ role: "user", content: "A secret word" }] }, { headers });
    await chat({ model: "none", messages: hello.messages }, { headers });
    await send("/health");
    const text = await (await send("/v1/requests", { headers })).text();
    const { data, is_one_of_many: isOneOfMany, started_at: startedAt } = JSON.parse(text);
    expect(data).toMatchObject([
      { route: "/chat/completions", status: 404, code: "model_not_found", key: "ann" },
      { route: "/chat/completions", status: 200, model: "test-model", provider: "scripted", key: "ann" },
    ]);
    expect(Date.parse(data[0].at)).toBeGreaterThan(Date.now() - 60_000);
    expect(startedAt).toBeGreaterThan(Date.now() / 1000 - 60);
    expect(isOneOfMany).toBe(false);
    expect(text).not.toContain("secret word");
    expect(text).not.toContain("sk-ann");
  });

  test("has at most 50, and says that there may be other instances", async () => {
    const { chat, send } = testHandler({}, { hosted: true });
    for (let turn = 0; turn < 52; turn++) await chat(hello);
    const list = await (await send("/requests")).json();
    expect(list.data).toHaveLength(50);
    expect(list.is_one_of_many).toBe(true);
  });

  test("needs a key, and one that is not everyone's", async () => {
    const keyed = testHandler({ API_MASTER_KEY: "sk-secret" });
    expect((await keyed.send("/requests")).status).toBe(401);
    const open = testHandler({ API_MASTER_KEY: "1" }, { exposed: true });
    const refused = await open.send("/requests");
    expect([refused.status, (await refused.json()).error.code]).toEqual([403, "sessions_need_a_key"]);
  });
});
