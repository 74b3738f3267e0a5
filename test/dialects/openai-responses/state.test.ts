/** Responses that are kept: going on from them, looking at them, and letting go of them. */
import { describe, expect, test } from "bun:test";
import { memoryStore } from "../../../core/stores/memory.ts";
import type { SessionStore } from "../../../core/types.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { reply, scriptedProvider } from "../../fakes/scripted-provider.ts";
import { accumulate, eventErrors, type Json, readEvents, responsesHandler } from "../../support/responses.ts";

/** A store that counts, and may fail. */
function countedStore(overrides: Partial<SessionStore> = {}) {
  const store = { ...memoryStore({ maxEntries: 10_000 }), ...overrides };
  const counts = { get: 0, set: 0, delete: 0 };
  const counted: SessionStore = {
    ...store,
    get: (key) => {
      counts.get++;
      return store.get(key);
    },
    set: (key, value, options) => {
      counts.set++;
      return store.set(key, value, options);
    },
    delete: (key) => {
      counts.delete++;
      return store.delete(key);
    },
  };
  return { store: counted, counts };
}

/** Says how many messages it was told, and the last of them. */
const echo = () =>
  scriptedProvider({ answer: ({ messages }) => reply(`${messages.length}: ${messages.at(-1)?.text}`) });

const textOf = ({ output }: Json): string => output[0].content[0].text;

const gateway = (env: Record<string, string> = {}, options: Parameters<typeof responsesHandler>[1] = {}) => {
  const { store, counts } = countedStore();
  const provider = echo();
  const made = responsesHandler(env, { store, providers: [provider], ...options });
  const show = async (path: string, init?: RequestInit) => {
    const answer = await made.send(`/v1/responses/${path}`, init);
    return { status: answer.status, body: await answer.json() };
  };
  const told = () => provider.requests.at(-1)?.request.messages.map(({ native }) => native);
  return { ...made, provider, counts, show, told };
};

describe("a turn that goes on from a response", () => {
  test("reads the whole chain and its own instructions alone", async () => {
    const { create, told } = gateway();
    const first = await create({ input: "I am Ann.", instructions: "Be brief." });
    const second = await create({ input: "Who?", previous_response_id: first.id, instructions: "Be kind." });
    expect(second.previous_response_id).toBe(first.id);
    await create({ input: "Sure?", previous_response_id: second.id });
    expect(told()).toEqual([
      { role: "user", content: "I am Ann." },
      { role: "assistant", content: "2: I am Ann." },
      { role: "user", content: "Who?" },
      { role: "assistant", content: "4: Who?" },
      { role: "user", content: "Sure?" },
    ]);
  });

  test("answers the calls that the response made", async () => {
    const provider = scriptedProvider({
      async *answer({ messages }) {
        if (messages.at(-1)?.role === "tool") return yield* reply("Sunny.");
        yield { type: "tool-call-delta", index: 0, id: "call_1", name: "weather", delta: "{}" };
        yield { type: "finish", reason: "tool_calls" };
      },
    });
    const { create } = responsesHandler({}, { providers: [provider] });
    const tools = [{ type: "function", name: "weather", parameters: null }];
    const { id } = await create({ input: "Weather?", tools });
    const output = { type: "function_call_output", call_id: "call_1", output: "sun" };
    const { output: answered } = await create({ input: [output], previous_response_id: id, tools });
    expect(answered[0].content[0].text).toBe("Sunny.");
    expect(provider.requests.at(-1)?.request.messages.map(({ role }) => role)).toEqual([
      "user",
      "assistant",
      "tool",
    ]);
  });

  test("costs one read and one write, however long the chain is; 200 turns lose nothing", async () => {
    const { create, counts } = gateway();
    let previous: string | undefined;
    for (let turn = 0; turn < 200; turn++) {
      const response = await create({ input: `turn ${turn}`, previous_response_id: previous });
      expect(textOf(response)).toBe(`${2 * turn + 1}: turn ${turn}`);
      previous = response.id;
    }
    expect(counts).toEqual({ get: 199, set: 200, delete: 0 });
  });

  test("may be one of many from the same response, at once", async () => {
    const { create } = gateway();
    const { id } = await create({ input: "root" });
    const branch = async (index: number) => {
      const child = await create({ input: `branch ${index}`, previous_response_id: id });
      const leaf = await create({ input: `leaf ${index}`, previous_response_id: child.id });
      return [textOf(child), textOf(leaf)];
    };
    const all = await Promise.all(Array.from({ length: 20 }, (_, index) => branch(index)));
    expect(all).toEqual(Array.from({ length: 20 }, (_, index) => [`3: branch ${index}`, `5: leaf ${index}`]));
  });

  test("goes on although the first of the chain is deleted, and not once its own is", async () => {
    const { create, failure, show, counts } = gateway();
    const first = await create({ input: "one" });
    const second = await create({ input: "two", previous_response_id: first.id });
    await show(first.id, { method: "DELETE" });
    expect(textOf(await create({ input: "three", previous_response_id: second.id }))).toBe("5: three");
    await show(second.id, { method: "DELETE" });
    const asked = counts.set;
    expect(await failure({ input: "four", previous_response_id: second.id })).toMatchObject({
      status: 400,
      code: "previous_response_not_found",
      param: "previous_response_id",
    });
    expect(counts.set).toBe(asked);
  });

  test("finds incomplete responses too", async () => {
    const provider = scriptedProvider({
      async *answer() {
        yield { type: "text-delta", delta: "Once upon" };
        yield { type: "finish", reason: "length" };
      },
    });
    const { create } = responsesHandler({}, { providers: [provider] });
    const { id, status } = await create({ input: "Tell me" });
    expect(status).toBe("incomplete");
    await create({ input: "Go on", previous_response_id: id });
    expect(provider.requests.at(-1)?.request.messages).toHaveLength(3);
  });

  test("is refused at the end of the longest chain there may be", async () => {
    const memory = memoryStore({ maxEntries: 10 });
    const { store } = countedStore({
      get: async (key) => {
        const stored = await memory.get(key);
        return stored && { ...stored, value: stored.value.replace('"depth":1,', '"depth":2000,') };
      },
      set: (key, value, options) => memory.set(key, value, options),
    });
    const { create, failure } = gateway({}, { store });
    const { id } = await create({ input: "Hi" });
    expect(await failure({ input: "And?", previous_response_id: id })).toMatchObject({
      status: 400,
      param: "previous_response_id",
      message: expect.stringContaining("2000"),
    });
  });

  test("is the same with a session's name beside it, which means nothing here", async () => {
    const { create, told } = gateway();
    const session = { "x-session-id": "holiday" };
    const { id } = await create({ input: "one", user: "ann" }, session);
    await create({ input: "two", user: "ann" }, session);
    expect(told()).toHaveLength(1);
    await create({ input: "three", user: "ann", previous_response_id: id }, session);
    expect(told()).toHaveLength(3);
  });

  test("can be bounded: too long a response is answered and not kept, and says so", async () => {
    const { create, post, failure, log } = gateway({ RESPONSES_MAX_BYTES: "6000" });
    const first = await create({ input: "short" });
    const long = { input: "x".repeat(6000), previous_response_id: first.id };
    const answer = await post(long);
    expect(answer.headers.get("x-session-saved")).toBe("false");
    const streamed = await (await post({ ...long, stream: true })).text();
    expect(streamed).toContain("\n: x-session-saved: false\n");
    const { id } = await answer.json();
    expect(await failure({ input: "and", previous_response_id: id })).toMatchObject({ status: 400 });
    expect(log.lines).toContainEqual(
      expect.objectContaining({
        event: "response.not_saved",
        fields: { store: "memory", reason: "too_long" },
      }),
    );
  });
});

describe("what is kept", () => {
  test("is shown as it was answered, whole and streamed", async () => {
    const { create, stream, show, send } = gateway();
    const whole = await create({ input: "Hi", instructions: "Be brief." });
    expect(await show(whole.id)).toEqual({ status: 200, body: whole });
    const streamed = accumulate(await stream({ input: "Hi" }));
    expect(await show(streamed.id)).toEqual({ status: 200, body: streamed });

    const replayed = await send(`/v1/responses/${whole.id}?stream=true`);
    expect(replayed.headers.get("content-type")).toStartWith("text/event-stream");
    const events = readEvents(await replayed.text());
    expect(eventErrors(events)).toEqual([]);
    expect(accumulate(events)).toEqual(whole);
    const rest = await (await send(`/v1/responses/${whole.id}?stream=true&starting_after=5`)).text();
    expect(readEvents(rest)).toEqual(events.slice(6));
  });

  test("is streamed anew with Unicode's line separators escaped, as at first", async () => {
    const { create, send } = gateway();
    const { id } = await create({ input: "a\u2028b\u2029c" });
    const text = await (await send(`/v1/responses/${id}?stream=true`)).text();
    expect(text).not.toMatch(/[\u2028\u2029]/);
    expect(textOf(accumulate(readEvents(text)))).toEndWith("a\u2028b\u2029c");
  });

  test("is there before the last event goes out", async () => {
    let isWritten = false;
    const memory = memoryStore({ maxEntries: 10 });
    const { store } = countedStore({
      async set(key, value, options) {
        await new Promise((resolve) => setImmediate(resolve));
        isWritten = true;
        return memory.set(key, value, options);
      },
    });
    const { post } = responsesHandler({}, { store });
    const body = (await post({ input: "Hi", stream: true })).body?.pipeThrough(new TextDecoderStream());
    for await (const text of body ?? [])
      if (text.includes("response.completed")) expect(isWritten).toBe(true);
    expect(isWritten).toBe(true);
  });

  test("is nothing where the request says so; then the store is not touched", async () => {
    const { create, show, counts } = gateway();
    const { id, store } = await create({ input: "Hi", store: false });
    expect(store).toBe(false);
    expect(counts).toEqual({ get: 0, set: 0, delete: 0 });
    expect((await show(id)).status).toBe(404);
  });

  test("belongs to the API key that asked", async () => {
    const { create, failure, send } = gateway({
      API_MASTER_KEY: "",
      API_KEYS: '{"ann":"sk-ann","bob":"sk-bob"}',
    });
    const ann = { authorization: "Bearer sk-ann" };
    const bob = { authorization: "Bearer sk-bob" };
    const { id, output } = await create({ input: "Hi" }, ann);
    for (const path of [id, `${id}/input_items`]) {
      expect((await send(`/v1/responses/${path}`, { headers: bob })).status).toBe(404);
    }
    expect((await send(`/v1/responses/${id}`, { method: "DELETE", headers: bob })).status).toBe(404);
    const next = { input: "And?", previous_response_id: id };
    expect(await failure(next, bob)).toMatchObject({ status: 400, code: "previous_response_not_found" });
    const reference = { type: "item_reference", id: output[0].id };
    expect(await failure({ input: [reference] }, bob)).toMatchObject({ status: 404 });
    expect((await send(`/v1/responses/${id}`, { headers: ann })).status).toBe(200);
  });

  test.each([
    ["in memory as long as a conversation", {}, false, 3600],
    ["in a shared store for 30 days", {}, true, 30 * 24 * 3600],
    ["for RESPONSES_TTL", { RESPONSES_TTL: "60" }, true, 60],
  ])("lasts %s", async (_, env, shared, seconds) => {
    const clock = fakeClock();
    // Its own expiry is late.
    const { store } = countedStore({ shared });
    const { create, show } = gateway(env, { store, clock });
    const { id } = await create({ input: "Hi" });
    await clock.advance(seconds * 1000 - 1);
    expect((await show(id)).status).toBe(200);
    await clock.advance(1);
    expect((await show(id)).status).toBe(404);
  });

  test("can be deleted once", async () => {
    const { create, show } = gateway();
    const { id } = await create({ input: "Hi" });
    const deleted = { id, object: "response.deleted", deleted: true };
    expect(await show(id, { method: "DELETE" })).toEqual({ status: 200, body: deleted });
    expect(await show(id, { method: "DELETE" })).toMatchObject({
      status: 404,
      body: { error: { code: "response_not_found", message: expect.stringContaining(id) } },
    });
  });

  test("can't be cancelled", async () => {
    const { create, show } = gateway();
    const { id } = await create({ input: "Hi" });
    expect(await show(`${id}/cancel`, { method: "POST" })).toMatchObject({ status: 400 });
  });

  test("has its own input items in pages", async () => {
    const { create, show } = gateway();
    const { id: previous } = await create({ input: "before" });
    const input = ["a", "b", "c"].map((content) => ({ role: "user", content, id: `msg_${content}` }));
    const { id } = await create({ input, previous_response_id: previous });
    const page = async (query: string) => {
      const { body } = await show(`${id}/input_items${query}`);
      return [
        body.data.map((item: Json) => item.content[0].text),
        body.first_id,
        body.last_id,
        body.has_more,
      ];
    };
    expect(await page("")).toEqual([["c", "b", "a"], "msg_c", "msg_a", false]);
    expect(await page("?limit=2")).toEqual([["c", "b"], "msg_c", "msg_b", true]);
    expect(await page("?limit=2&after=msg_b")).toEqual([["a"], "msg_a", "msg_a", false]);
    expect(await page("?order=asc&limit=1")).toEqual([["a"], "msg_a", "msg_a", true]);
    expect((await show(`${id}/input_items?limit=0`)).body.error).toMatchObject({ param: "limit" });
    expect((await show(`${id}/input_items?after=msg_x`)).body.error).toMatchObject({ param: "after" });
  });
});

describe("an item_reference", () => {
  test("stands for the item that it names, in one read for a whole history of them", async () => {
    const { create, told, counts } = gateway();
    const history: object[] = [];
    for (let turn = 0; turn < 5; turn++) {
      history.push({ role: "user", content: `turn ${turn}` });
      const { output } = await create({ input: history });
      history.push({ type: "item_reference", id: output[0].id });
    }
    expect(counts).toEqual({ get: 4, set: 5, delete: 0 });
    expect(told()?.map(({ content }) => content)).toEqual([
      "turn 0",
      "1: turn 0",
      "turn 1",
      "3: turn 1",
      "turn 2",
      "5: turn 2",
      "turn 3",
      "7: turn 3",
      "turn 4",
    ]);
  });

  test("needs no type, and is not told twice where the chain has it already", async () => {
    const { create, told } = gateway();
    const { id, output } = await create({ input: "Hi" });
    await create({
      input: [{ id: output[0].id }, { role: "user", content: "And?" }],
      previous_response_id: id,
    });
    expect(told()).toHaveLength(3);
  });

  test.each(["msg_of_nobody", `msg_${"0".repeat(36)}`])(
    "to %s is 404, and names it and store",
    async (id) => {
      const { failure } = gateway();
      const { status, message } = await failure({ input: [{ type: "item_reference", id }] });
      expect(status).toBe(404);
      expect(message).toContain(`'${id}'`);
      expect(message).toContain("`store`");
    },
  );
});

test("an item_reference may stand for an item of an input too", async () => {
  const { create, show, told } = gateway();
  const { id } = await create({ input: "Hi" });
  const { body } = await show(`${id}/input_items`);
  await create({ input: [{ id: body.data[0].id }, { role: "user", content: "And?" }] });
  expect(told()?.map(({ content }) => content)).toEqual(["Hi", "And?"]);
});

test("the same text asked twice at once, with tools and without, as for a title, is two answers that nothing joins", async () => {
  const { post, create, told, provider } = gateway();
  const tools = [{ type: "function", name: "f", parameters: null }];
  const session = { "x-session-id": "s" };
  const body = { input: "Hello", stream: true, user: "ann" };
  const both = await Promise.all([post({ ...body, tools }, session), post(body, session)]);
  const ids = await Promise.all(
    both.map(async (answer) => readEvents(await answer.text()).at(-1).response.id as string),
  );
  expect(new Set(ids).size).toBe(2);
  expect(provider.requests.map(({ request }) => request.tools.length).sort()).toEqual([0, 1]);
  await create({ input: "And?", previous_response_id: ids[0] });
  expect(told()).toHaveLength(3);
});

test("input tokens are counted with the chain and the tools, and nobody is asked", async () => {
  const { create, post, provider, counts } = gateway();
  const { id } = await create({ input: "A long story about nothing at all" });
  const count = async (body: object): Promise<number> =>
    (await (await post(body, {}, "/input_tokens")).json()).input_tokens;
  const alone = await count({ input: "And?" });
  const tools = [{ type: "function", name: "f", parameters: { type: "object", properties: {} } }];
  expect(await count({ input: "And?", tools })).toBeGreaterThan(alone);
  expect(await count({ input: "And?", previous_response_id: id })).toBeGreaterThan(alone + 8);
  expect(counts.set).toBe(1);
  expect(provider.requests).toHaveLength(1);
});

describe("when the store fails", () => {
  test("what needs it is 503, and what doesn't is answered", async () => {
    const broken = () => {
      throw new Error("no connection");
    };
    const { store } = countedStore({ get: broken, set: broken });
    const { failure, post, send } = gateway({}, { store });
    const id = `resp_${"0".repeat(32)}`;
    expect(await failure({ input: "Hi", previous_response_id: id })).toMatchObject({
      status: 503,
      code: "session_store_unavailable",
    });
    expect((await send(`/v1/responses/${id}`)).status).toBe(503);
    const answer = await post({ input: "Hi" });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-session-saved")).toBe("false");
    expect((await post({ input: "Hi", store: false })).headers.get("x-session-saved")).toBeNull();
  });

  test("what it holds of others is not taken for a response", async () => {
    const { store } = countedStore({ get: () => ({ value: '{"v":1,"response":{}}', version: "1" }) });
    const { show, log } = gateway({}, { store });
    expect((await show(`resp_${"0".repeat(32)}`)).status).toBe(404);
    expect(log.lines.map(({ event }) => event)).toContain("response.not_read");
  });
});

test("the log tells of a chain as it does of a conversation, and never its texts or ids", async () => {
  const { create, records, log } = gateway();
  const { id } = await create({ input: "a secret" });
  await create({ input: "another", previous_response_id: id });
  expect(records.map(({ session }) => session)).toEqual(["response", "response"]);
  expect(records[1]?.storeMs).toBeNumber();
  expect(JSON.stringify(log.lines)).not.toMatch(/secret|another|resp_/);
});
