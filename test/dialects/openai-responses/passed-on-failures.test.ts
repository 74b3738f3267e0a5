/** What fails, falls silent or comes in pieces at an upstream that speaks Responses. */
import { describe, expect, test } from "bun:test";
import { openAiCompatible } from "../../../core/providers/openai-compatible/provider.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { namedEvents } from "../../fakes/openai-upstream.ts";
import { responseEvents } from "../../fakes/responses-api.ts";
import { accumulate, eventErrors, type Json, readEvents, responsesHandler } from "../../support/responses.ts";
import { replyResponse } from "../../support/scripted-upstream.ts";
import { until } from "../../support/until.ts";
import { named, passingOn } from "./passing-on.ts";

const { upstream, gateway } = await passingOn();

describe("a failure", () => {
  const events = (response: Json) => responseEvents(response).map((event) => event as Json);
  const script = (steps: readonly Json[]) =>
    upstream.script({ headers: { "content-type": "text/event-stream" }, steps: namedEvents(steps) });
  const failed = (response: Json, error: object) => ({
    type: "response.failed",
    sequence_number: 5,
    response: { ...response, status: "failed", error },
  });
  const response = upstream.responses.responseTo({ model: "echo", input: "Hi" });

  test("before the model has begun has its true status, and is mended by a fallback", async () => {
    const { failure, post } = gateway();
    const [created, running] = events(response);
    const error = { code: "rate_limit_exceeded", message: "Try again in 1.5s" };
    script([created, running, failed(response, error)]);
    expect(await failure({ model: "echo", input: "Hi", stream: true })).toMatchObject({
      status: 429,
      ...error,
    });

    const mended = gateway({ MODEL_FALLBACKS: '{"echo":["own/reasoner"]}' });
    script([
      created,
      { type: "error", code: "server_error", message: "Oh", param: null, sequence_number: 1 },
    ]);
    expect((await mended.stream({ model: "echo", input: "Hi" })).at(-1).response.output).toHaveLength(2);
    expect(await post({ model: "echo", input: "Hi" })).toMatchObject({ status: 200 });
  });

  test("in the middle ends the stream with both events, under the upstream's id and numbers, without its key", async () => {
    const { stream, records } = gateway();
    const error = { code: "server_error", message: "Key sk-upstream-0123456789 broke" };
    script([...events(response).slice(0, 6), failed(response, error)]);
    const sent = await stream({ model: "echo", input: "Hi" });
    expect(sent.map(({ sequence_number }) => sequence_number)).toEqual(sent.map((_, index) => index));
    expect(sent.slice(-2)).toMatchObject([
      { type: "error", code: "upstream_error", message: "own failed." },
      { type: "response.failed", response: { id: response.id, status: "failed", model: "echo" } },
    ]);
    expect(JSON.stringify(sent)).not.toContain("sk-upstream");
    expect(records[0]).toMatchObject({ code: "upstream_error" });
  });

  test("of the connection in the middle is one too", async () => {
    const { stream } = gateway();
    script(events(response).slice(0, 6));
    const sent = await stream({ model: "echo", input: "Hi" });
    expect(sent.slice(-2).map(({ type }) => type)).toEqual(["error", "response.failed"]);
    expect(sent.at(-1).response.error.code).toBe("upstream_unreachable");
  });

  test.each([
    [
      "a response that has failed",
      200,
      { object: "response", output: [], status: "failed", error: { code: "server_error", message: "Oh" } },
      502,
      "server_error",
    ],
    [
      "an error",
      400,
      { error: { message: "Oh", code: "unsupported_value", param: "tools", type: "invalid_request_error" } },
      400,
      "unsupported_value",
    ],
    ["an error in place of an answer", 200, { error: { message: "Oh" } }, 502, "upstream_error"],
    ["a chat's answer", 200, { choices: [] }, 502, "upstream_invalid_response"],
    [
      "a refused key",
      401,
      { error: { message: "Incorrect API key provided: sk-up****" } },
      502,
      "upstream_auth_failed",
    ],
  ])("of a whole answer: %s", async (_, status, body, expected, code) => {
    upstream.script({
      status,
      headers: { "content-type": "application/json" },
      steps: [JSON.stringify(body)],
    });
    const { failure } = gateway();
    expect(await failure({ model: "echo", input: "Hi" })).toMatchObject({ status: expected, code });
  });

  test("of what is asked later is told like any other, within API_REQUEST_TIMEOUT", async () => {
    const clock = fakeClock();
    const { create, ask } = gateway({}, { clock });
    const { id } = await create({ model: "echo", input: "Hi" });
    upstream.script({ status: 503, headers: { "retry-after": "3" }, steps: ["{}"] });
    expect((await ask(id)).body.error.code).toBe("upstream_unavailable");
    upstream.script({ headers: {}, steps: ["[]"] });
    expect((await ask(id)).body.error.code).toBe("upstream_invalid_response");
    upstream.script({ headers: {}, steps: [() => new Promise(() => {})] });
    const reached = upstream.nextCall();
    const asking = ask(id);
    await reached;
    await clock.advance(180_000);
    expect(await asking).toMatchObject({ status: 504, body: { error: { code: "upstream_timeout" } } });
  });

  test("of many kinds opens the circuit, as a chat's does", async () => {
    const { failure } = gateway();
    const refusals = Array.from({ length: 5 }, () => ({ status: 503, headers: {}, steps: ["{}"] }));
    upstream.script(...refusals);
    for (const _ of refusals) await failure({ model: "echo", input: "Hi" });
    const calls = upstream.calls.length;
    expect((await failure({ model: "echo", input: "Hi" })).status).toBeGreaterThanOrEqual(502);
    expect(upstream.calls.length).toBe(calls);
  });
});

test("a long silence in the middle gets comments, and an event that takes no number after a minute", async () => {
  const clock = fakeClock();
  const { post } = gateway({}, { clock });
  const steps = namedEvents(responseEvents(upstream.responses.responseTo({ model: "echo", input: "Hi" })));
  let go = () => {};
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  upstream.script({
    headers: { "content-type": "text/event-stream" },
    steps: [steps.slice(0, 5).join(""), () => gate, ...steps.slice(5)],
  });
  const answer = await post({ model: "echo", input: "Hi", stream: true });
  let text = "";
  const reading = (async () => {
    for await (const piece of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) text += piece;
  })();
  await until(async () => text.includes('"sequence_number":4'));
  for (let beat = 0; beat < 8; beat++) {
    const { length } = text;
    await clock.advance(8000);
    await until(async () => text.length > length);
  }
  go();
  await reading;
  expect(text).toContain(": keep-alive\n");
  const events = readEvents(text.replaceAll(/^:.*\n\n/gm, ""));
  expect(events.find(({ type }) => type === "keepalive")).toEqual({ type: "keepalive", sequence_number: 4 });
  expect(eventErrors(events.filter(({ type }) => type !== "keepalive"))).toEqual([]);
});

describe("a stream in pieces", () => {
  const made = { model: "reasoner", input: "Grüße, 👩‍👩‍👧 and \u2028 more" };
  const response = upstream.responses.responseTo(made);
  const bytes = new TextEncoder().encode(namedEvents(responseEvents(response)).join(""));
  const streamOf = (pieces: readonly Uint8Array[]) => {
    const own = openAiCompatible({
      name: "own",
      baseUrl: "http://127.0.0.1:1/v1",
      models: ["reasoner"],
      responses: true,
      fetch: async () => replyResponse(pieces),
    });
    return responsesHandler({}, { providers: [own] }).stream(made);
  };

  test.each([1, 7, 100, 4096])("of %d bytes is the same", async (size) => {
    const count = Math.ceil(bytes.length / size);
    const pieces = Array.from({ length: count }, (_, at) => bytes.subarray(at * size, (at + 1) * size));
    const events = await streamOf(pieces);
    expect(eventErrors(events)).toEqual([]);
    expect(accumulate(events)).toEqual(named(response, "reasoner"));
  });

  test("is one whole answer with any kind of line end, comments, a last [DONE] and events without a type in their data", async () => {
    const text = namedEvents(responseEvents(response))
      .map((event) => event.replace(/"type":"response\.[\w.]+",/, ""))
      .join(": remark\n\n")
      .replaceAll("\n", "\r\n");
    const events = await streamOf([new TextEncoder().encode(`${text}data: [DONE]\r\n\r\n`)]);
    expect(eventErrors(events)).toEqual([]);
    expect(accumulate(events)).toEqual(named(response, "reasoner"));
  });
});
