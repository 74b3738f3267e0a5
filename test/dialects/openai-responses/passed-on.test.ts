/** Responses of upstreams that speak them: requests, events and what is asked of them later are passed on. */
import { describe, expect, test } from "bun:test";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { namedEvents } from "../../fakes/openai-upstream.ts";
import { responseEvents } from "../../fakes/responses-api.ts";
import { reply, scriptedProvider } from "../../fakes/scripted-provider.ts";
import { testUpstream } from "../../support/gateway-before-upstreams.ts";
import { accumulate, eventErrors, type Json, readEvents } from "../../support/responses.ts";
import { named, passingOn, provider } from "./passing-on.ts";

const keys = { API_MASTER_KEY: "", API_KEYS: '{"ann":"sk-ann","bob":"sk-bob"}' };
const ann = { authorization: "Bearer sk-ann" };
const bob = { authorization: "Bearer sk-bob" };

const { upstream, gateway } = await passingOn();
const other = await testUpstream();
const last = (of = upstream): Json => of.calls.at(-1);

describe("a request for a model of an upstream that speaks Responses", () => {
  test("goes there as the client wrote it, but for the model, and so does the answer", async () => {
    const { create } = gateway({ MODEL_ALIASES: "fast=own/echo" });
    const body = {
      model: "fast",
      input: [{ role: "user", content: [{ type: "input_text", text: "Hi" }], id: "msg_mine" }],
      tools: [{ type: "web_search", search_context_size: "low" }],
      include: ["web_search_call.action.sources"],
      prompt_cache_key: "k",
      something_new: { deep: [1] },
    };
    const response = await create(body);
    expect(last()).toMatchObject({ method: "POST", url: "/v1/responses", body: { ...body, model: "echo" } });
    expect(last().body).toEqual({ ...body, model: "echo" });
    expect(last().headers.authorization).toBe("Bearer sk-upstream-0123456789");
    expect(upstream.responses.kept).toContain(response.id);
    // With what nobody here knows.
    expect(response).toMatchObject({ model: "fast", status: "completed", billing: { payer: "developer" } });
    expect(response.usage).toMatchObject({ total_tokens: 8, input_tokens_details: { cached_tokens: 1 } });
  });

  test.each(["echo", "reasoner"])("is streamed event by event, as %s sends them", async (model) => {
    const { stream, ask, records } = gateway();
    const events = await stream({ model, input: "Grüße, \u2028 <b>", include: [] });
    const made = accumulate(events);
    const { body: shown } = await ask(made.id);
    expect(shown).toEqual(made);
    expect(events).toEqual(
      responseEvents(named(shown, "x")).map((event) =>
        event.response ? { ...event, response: named(event.response, model) } : event,
      ),
    );
    expect(eventErrors(events)).toEqual([]);
    expect(records[0]).toMatchObject({ stream: true, status: 200, provider: "own", session: "response" });
    expect(records[0]?.charsOut).toBe("Echo: Grüße, \u2028 <b>".length);
  });

  test("goes on from what the upstream keeps, in its words and without the history", async () => {
    const { create } = gateway();
    const first = await create({ model: "echo", input: "I am Ann." });
    const second = await create({ model: "echo", input: "Who?", previous_response_id: first.id });
    expect(last().body).toEqual({ model: "echo", input: "Who?", previous_response_id: first.id });
    expect(second).toMatchObject({ previous_response_id: first.id, usage: { input_tokens: 3 } });
  });

  test("may refer to items that the upstream keeps", async () => {
    const { create } = gateway();
    const { output } = await create({ model: "reasoner", input: "One" });
    const references = output.map(({ id }: Json) => ({ type: "item_reference", id }));
    const input = [{ role: "user", content: "One" }, ...references, { role: "user", content: "Two" }];
    expect((await create({ model: "echo", input })).usage.input_tokens).toBe(4);
    expect(last().body.input).toEqual(input);
  });

  test("may have files, prompts and more that a chat can't say", async () => {
    const { create } = gateway();
    const input = [{ role: "user", content: [{ type: "input_file", file_id: "file_1" }] }];
    await create({ model: "echo", input, prompt: { id: "pmpt_1" } });
    expect(last().body).toMatchObject({ input, prompt: { id: "pmpt_1" } });
  });

  test("is a chat for clients that speak something else", async () => {
    const { chat, send } = gateway();
    await chat({ model: "echo", messages: [{ role: "user", content: "Hi" }] });
    expect(last().url).toBe("/v1/chat/completions");
    const body = { model: "echo", max_tokens: 9, messages: [{ role: "user", content: "Hi" }] };
    await send("/v1/messages", { method: "POST", body: JSON.stringify(body) });
    expect(last().url).toBe("/v1/chat/completions");
  });

  test("is refused what would belong to no key, or be lost with the connection", async () => {
    const { failure } = gateway();
    const asked = { model: "echo", input: "Hi" };
    expect(await failure({ ...asked, conversation: "conv_1" })).toMatchObject({ param: "conversation" });
    const both = { ...asked, background: true, stream: true };
    expect(await failure(both)).toMatchObject({ status: 400, param: "background" });
  });

  test("may be made in the background, asked for and cancelled", async () => {
    const { create, ask } = gateway();
    const { id, status } = await create({ model: "echo", input: "Hi", background: true });
    expect(status).toBe("queued");
    expect((await ask(id)).body).toMatchObject({ id, status: "in_progress", model: "echo" });
    expect(await ask(`${id}?stream=true`)).toMatchObject({
      status: 400,
      body: { error: { param: "stream" } },
    });
    expect((await ask(`${id}/cancel`, { method: "POST" })).body).toMatchObject({ id, status: "cancelled" });
  });

  test("is answered whole by an upstream that streams, and streamed by one that doesn't", async () => {
    const { create, stream } = gateway();
    const response = upstream.responses.responseTo({ model: "echo", input: "Hi" });
    upstream.script({
      headers: { "content-type": "text/event-stream" },
      steps: namedEvents(responseEvents(response)),
    });
    expect(await create({ model: "echo", input: "Hi" })).toEqual(named(response, "echo"));
    upstream.script({ headers: { "content-type": "application/json" }, steps: [JSON.stringify(response)] });
    const events = await stream({ model: "echo", input: "Hi" });
    expect(eventErrors(events)).toEqual([]);
    expect(accumulate(events)).toEqual(named(response, "echo"));
  });
});

describe("what an upstream keeps", () => {
  test("is shown, listed, counted and deleted there", async () => {
    const { create, ask, post, send } = gateway();
    const made = await create({
      model: "echo",
      input: ["a", "b", "c"].map((content) => ({ role: "user", content })),
    });
    expect(await ask(`${made.id}?include[]=message.output_text.logprobs`)).toEqual({
      status: 200,
      body: made,
    });
    expect(last().url).toBe(`/v1/responses/${made.id}?include%5B%5D=message.output_text.logprobs`);

    const replayed = readEvents(await (await send(`/v1/responses/${made.id}?stream=true`)).text());
    expect(eventErrors(replayed)).toEqual([]);
    expect(accumulate(replayed)).toEqual(made);
    const rest = await send(`/v1/responses/${made.id}?stream=true&starting_after=5`);
    expect(readEvents(await rest.text())).toEqual(replayed.slice(6));

    const { body: page } = await ask(`${made.id}/input_items?limit=2&order=asc`);
    expect(page).toMatchObject({
      has_more: true,
      data: [{ content: [{ text: "a" }] }, { content: [{ text: "b" }] }],
    });
    expect(last().url).toBe(`/v1/responses/${made.id}/input_items?limit=2&order=asc`);

    const counted = await post(
      { model: "echo", input: "d", previous_response_id: made.id },
      {},
      "/input_tokens",
    );
    expect(await counted.json()).toEqual({ object: "response.input_tokens", input_tokens: 105 });
    const alone = await post({ model: "echo", input: "d" }, {}, "/input_tokens");
    expect((await alone.json()).input_tokens).toBe(101);

    expect(await ask(`${made.id}/cancel`, { method: "POST" })).toMatchObject({ status: 400 });
    const deleted = await ask(made.id, { method: "DELETE" });
    expect(deleted).toMatchObject({ status: 200, body: { id: made.id, deleted: true } });
    expect(upstream.responses.kept).not.toContain(made.id);
    expect((await ask(made.id)).status).toBe(404);
  });

  test("is asked of the upstream that made it, by any instance on the same store, under any later name", async () => {
    const providers = [provider(upstream, "one"), provider(other, "two")];
    const first = gateway({}, { providers });
    const made = await first.create({ model: "two/echo", input: "Hi" });
    const second = gateway({}, { providers, store: first.store });
    expect((await second.ask(made.id)).body).toEqual(made);
    expect(last(other).url).toBe(`/v1/responses/${made.id}`);
    const next = await second.create({ model: "two/reasoner", input: "And?", previous_response_id: made.id });
    expect(other.responses.kept).toContain(next.id);
  });

  test("belongs to the key that asked: for others it is not there, and nobody is asked", async () => {
    const { create, failure, send, post } = gateway(keys);
    const { id, output } = await create({ model: "echo", input: "Hi" }, ann);
    const calls = upstream.calls.length;
    const paths = [`${id}`, `${id}/input_items`, `${id}?stream=true`];
    for (const path of paths)
      expect((await send(`/v1/responses/${path}`, { headers: bob })).status).toBe(404);
    const remove = { method: "DELETE", headers: bob };
    const unknown = await (await send("/v1/responses/resp_0", remove)).json();
    const foreign = await send(`/v1/responses/${id}`, remove);
    expect(foreign.status).toBe(404);
    expect(JSON.stringify(await foreign.json())).toBe(JSON.stringify(unknown).replaceAll("resp_0", id));
    const cancel = await send(`/v1/responses/${id}/cancel`, { method: "POST", headers: bob });
    expect(cancel.status).toBe(404);
    const next = { model: "echo", input: "And?", previous_response_id: id };
    expect(await failure(next, bob)).toMatchObject({ status: 400, code: "previous_response_not_found" });
    expect((await post(next, bob, "/input_tokens")).status).toBe(400);
    const input = [{ type: "item_reference", id: output[0].id }];
    expect(await failure({ model: "echo", input }, bob)).toMatchObject({ status: 404 });
    expect(upstream.calls.length).toBe(calls);
    expect((await send(`/v1/responses/${id}`, { headers: ann })).status).toBe(200);
  });

  test("is noted in one value for each thing that has an id, for RESPONSES_TTL, and not where it is not kept", async () => {
    const clock = fakeClock();
    const { create, ask, store } = gateway({ RESPONSES_TTL: "60" }, { clock });
    await create({ model: "echo", input: "Hi", store: false });
    expect(store).toMatchObject({ reads: 0, writes: 0 });
    const { id } = await create({ model: "reasoner", input: "Hi" });
    expect(store.writes).toBe(3);
    await clock.advance(59_999);
    expect((await ask(id)).status).toBe(200);
    await clock.advance(1);
    expect((await ask(id)).status).toBe(404);
  });

  test("is told as the upstream tells it where that has it no more", async () => {
    const { create, ask, failure } = gateway();
    const { id } = await create({ model: "echo", input: "Hi" });
    upstream.responses.answer("DELETE", `/${id}`, new URLSearchParams(), undefined);
    expect(await ask(id)).toMatchObject({
      status: 404,
      body: { error: { message: `Response with id '${id}' not found.` } },
    });
    expect(await failure({ model: "echo", input: "And?", previous_response_id: id })).toMatchObject({
      status: 400,
      code: "previous_response_not_found",
      param: "previous_response_id",
    });
  });

  test("is not there once its upstream is none of the gateway's", async () => {
    const first = gateway();
    const { id } = await first.create({ model: "echo", input: "Hi" });
    const second = gateway({}, { providers: [provider(upstream, "renamed")], store: first.store });
    expect(await second.ask(id)).toMatchObject({
      status: 404,
      body: { error: { code: "response_not_found" } },
    });
    const next = { model: "echo", input: "And?", previous_response_id: id };
    expect(await second.failure(next)).toMatchObject({
      status: 400,
      message: expect.stringContaining("own"),
    });
  });

  test("that could not be noted is answered all the same, and says so", async () => {
    const { post, log, store } = gateway();
    store.failing = "writes";
    const asked = { model: "echo", input: "Hi" };
    expect((await post(asked)).headers.get("x-session-saved")).toBe("false");
    const streamed = await (await post({ ...asked, stream: true })).text();
    expect(streamed).toContain("\n: x-session-saved: false\n");
    expect(streamed.indexOf("x-session-saved")).toBeGreaterThan(streamed.indexOf("response.completed"));
    expect(log.lines.map(({ event }) => event)).toContain("response.not_saved");
  });
});

describe("beside other upstreams", () => {
  const echo = () =>
    scriptedProvider({
      name: "chat",
      models: [{ id: "kimi", createdAt: 1 }],
      answer: ({ messages }) => reply(`${messages.length}: ${messages.at(-1)?.text}`),
    });
  const failing = {
    status: 500,
    headers: { "content-type": "application/json" },
    steps: ['{"error":{"message":"Down"}}'],
  };

  test("a chat falls back to them, is kept here then, and goes on as a chat at either", async () => {
    const chat = echo();
    const fallbacks = { MODEL_FALLBACKS: '{"echo":["chat/kimi"]}' };
    const { create, post } = gateway(fallbacks, { providers: [provider(upstream), chat] });
    upstream.script(failing);
    const answer = await post({ model: "echo", input: "Hi" });
    expect(answer.headers.get("x-fallback-from")).toBe("own/echo");
    const first = await answer.json();
    expect(first.output[0].content[0].text).toBe("1: Hi");
    const second = await create({ model: "echo", input: "And?", previous_response_id: first.id });
    expect(last()).toMatchObject({ url: "/v1/chat/completions", body: { messages: { length: 3 } } });
    await create({ model: "kimi", input: "So?", previous_response_id: second.id });
    expect(chat.requests.at(-1)?.request.messages).toHaveLength(5);
  });

  test("a chain that an upstream keeps goes on there or not at all", async () => {
    const chat = echo();
    const fallbacks = { MODEL_FALLBACKS: '{"echo":["chat/kimi"]}' };
    const { create, failure } = gateway(fallbacks, { providers: [provider(upstream), chat] });
    const first = await create({ model: "echo", input: "Hi" });
    upstream.script(failing);
    const next = { input: "And?", previous_response_id: first.id };
    expect(await failure({ model: "echo", ...next })).toMatchObject({ status: 500, message: "Down" });
    expect(await failure({ model: "kimi", ...next })).toMatchObject({
      status: 400,
      code: "unsupported_parameter",
      param: "previous_response_id",
      message: expect.stringMatching(/own keeps.*model of own.*whole history/),
    });
    const input = [{ type: "item_reference", id: first.output[0].id }];
    expect(await failure({ model: "kimi", input })).toMatchObject({ status: 400, param: "input" });
    expect(chat.requests).toEqual([]);
  });

  test("items of two places can't be referred to at once", async () => {
    const { create, failure } = gateway({}, { providers: [provider(upstream), echo()] });
    const here = await create({ model: "kimi", input: "Hi" });
    const there = await create({ model: "echo", input: "Hi" });
    const input = [here, there].map(({ output }) => ({ type: "item_reference", id: output[0].id }));
    expect(await failure({ model: "echo", input })).toMatchObject({ status: 400, param: "input" });
  });

  test("what a chat can't say is refused where only a chat is, and else goes to who can say it", async () => {
    const providers = [echo(), provider(upstream)];
    const env = { MODEL_FALLBACKS: '{"kimi":["own/echo"]}' };
    const input = [{ role: "user", content: [{ type: "input_file", file_id: "file_1" }] }];
    expect(await gateway({}, { providers }).failure({ model: "kimi", input })).toMatchObject({
      status: 400,
      code: "unsupported_content",
    });
    await gateway(env, { providers }).create({ model: "kimi", input });
    expect(last().body.input).toEqual(input);
    const instructions = [{ role: "developer", content: [{ type: "input_file", file_id: "file_1" }] }];
    await gateway({}, { providers }).create({ model: "echo", input: "Hi", instructions });
    expect(last().body.instructions).toEqual(instructions);
  });

  test("a stream whose headers go out early has the ids of its upstream alone", async () => {
    const clock = fakeClock();
    const { post } = gateway({ STREAM_COMMIT_MS: "1000" }, { clock });
    let go = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const response = upstream.responses.responseTo({ model: "echo", input: "Hi" });
    const [created, ...rest] = namedEvents(responseEvents(response));
    upstream.script({
      headers: { "content-type": "text/event-stream" },
      steps: [created as string, () => gate, ...rest],
    });
    const reached = upstream.nextCall();
    const posted = post({ model: "echo", input: "Hi", stream: true });
    await reached;
    await clock.advance(1000);
    const answer = await posted;
    go();
    const text = await answer.text();
    expect(text).toStartWith(": ");
    expect(text).toContain("x-served-by: own/echo");
    const events = readEvents(text.replaceAll(/^:.*\n\n/gm, ""));
    expect(eventErrors(events)).toEqual([]);
    expect(accumulate(events)).toEqual(named(response, "echo"));
  });
});
