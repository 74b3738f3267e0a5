/** What of a request reaches an upstream, and what of its answer the client, through a started gateway. */
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { chunk, doneEvent, eventStream, forever, jsonScript } from "../fakes/openai-upstream.ts";
import { gatewayBeforeUpstreams, testUpstream } from "../support/gateway-before-upstreams.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { sseData } from "../support/test-handler.ts";

const ownKey = "sk-live-0123456789abcdef";
const upstream = await testUpstream();
const gateway = await gatewayBeforeUpstreams({
  OPENAI_BASE_URL: upstream.baseUrl,
  OPENAI_API_KEY: ownKey,
  API_MASTER_KEY: "sk-client",
  API_REQUEST_TIMEOUT: "1",
  CIRCUIT_BREAKER: "off",
});
const client = { authorization: "Bearer sk-client" };
const chat = (body: object, headers: Record<string, string> = {}) =>
  gateway.chat({ model: "echo", ...body }, { ...client, ...headers });
const sent = () => upstream.calls.at(-1);

describe("a request", () => {
  const body = {
    model: "echo",
    messages: [
      { role: "developer", content: "Be brief.", name: "ops" },
      {
        role: "user",
        content: [
          { type: "text", text: "What is this? 👩‍👩‍👧" },
          { type: "image_url", image_url: { url: "data:image/png;base64,AAAA", detail: "low" } },
          { type: "input_audio", input_audio: { data: "AAAA", format: "wav" } },
        ],
      },
      {
        role: "assistant",
        content: null,
        tool_calls: [
          {
            id: "call_1",
            type: "function",
            function: { name: "look", arguments: "{}" },
            extra_content: { google: { thought_signature: "c2ln" } },
          },
        ],
        reasoning_content: "Hm.",
      },
      { role: "tool", tool_call_id: "call_1", content: [{ type: "text", text: "A cat." }] },
    ],
    temperature: 0.3,
    top_p: 0.9,
    stop: ["END"],
    max_completion_tokens: 50,
    seed: 7,
    tools: [{ type: "function", function: { name: "look", parameters: { type: "object" }, strict: true } }],
    tool_choice: { type: "function", function: { name: "look" } },
    parallel_tool_calls: false,
    response_format: { type: "json_object" },
    user: undefined,
    thinking: { type: "disabled" },
    not_known_to_anyone: { deep: [1, null, "😀"] },
  };

  test.each([true, false])("goes on whole, stream: %p", async (stream) => {
    await (await chat({ ...body, stream })).text();
    const { user: _, ...expected } = body;
    expect(sent()?.body).toEqual({
      ...expected,
      stream,
      ...(stream && { stream_options: { include_usage: true } }),
    });
  });

  test("carries our key, never the client's, nor its headers", async () => {
    await chat({}, { "x-session-id": "mine", "x-custom": "1", cookie: "a=b" });
    expect(sent()?.headers.authorization).toBe(`Bearer ${ownKey}`);
    expect(JSON.stringify(sent()?.headers)).not.toMatch(/sk-client|mine|x-custom|a=b/);
  });
});

describe("an answer", () => {
  test("is the upstream's, as a whole", async () => {
    const tools = [{ type: "function", function: { name: "look", parameters: { type: "object" } } }];
    for (const body of [
      { n: 2, logprobs: true },
      { tools },
      { model: "reasoner" },
      { model: "refuser" },
      { max_tokens: 1 },
    ]) {
      const answer = await (await chat(body)).json();
      expect(schemaErrors("CreateChatCompletionResponse", answer)).toEqual([]);
      const direct = await fetch(`${upstream.baseUrl}/chat/completions`, {
        method: "POST",
        body: JSON.stringify({ model: "echo", messages: [{ role: "user", content: "Hello" }], ...body }),
      });
      const { id: _, created, ...expected } = await direct.json();
      for (const choice of expected.choices) delete choice.message.annotations;
      expect(answer).toMatchObject(expected);
      expect(answer.id).toMatch(/^chatcmpl-\w{32}$/);
      expect(answer.created).toBeGreaterThan(created);
    }
  });

  test("keeps what a vendor adds to tool calls", async () => {
    const extra_content = { google: { thought_signature: "c2lnbmF0dXJl" } };
    const call = { id: "a", type: "function", extra_content, function: { name: "f", arguments: "{}" } };
    const steps = [chunk({ tool_calls: [call] }, "tool_calls"), doneEvent];
    upstream.script({ headers: eventStream, steps }, { headers: eventStream, steps });
    const [first] = sseData(await (await chat({ stream: true })).text()) as {
      choices: { delta: object }[];
    }[];
    expect(first?.choices[0]?.delta).toEqual({ role: "assistant", tool_calls: [{ index: 0, ...call }] });
    expect((await (await chat({})).json()).choices[0].message.tool_calls).toEqual([call]);
  });

  test("keeps its choices apart where they come in another order", async () => {
    const choices = ["zero", "one"].map((content, index) => ({
      index,
      message: { role: "assistant", content },
      finish_reason: "stop",
    }));
    upstream.script(jsonScript(200, { choices: choices.toReversed() }));
    const whole = await (await chat({ n: 2 })).json();
    expect(whole.choices.map((choice: (typeof choices)[0]) => choice.message.content)).toEqual([
      "zero",
      "one",
    ]);
  });

  test.each([true, false])(
    "has texts where a vendor sends lists of texts and thoughts, stream: %p",
    async (stream) => {
      const content = [
        { type: "thinking", thinking: [{ type: "text", text: "Hm." }] },
        { type: "text", text: "Yes" },
      ];
      upstream.script(
        stream
          ? { headers: eventStream, steps: [chunk({ content }, "stop"), doneEvent] }
          : jsonScript(200, { choices: [{ index: 0, message: { content }, finish_reason: "stop" }] }),
      );
      const response = await chat({ stream });
      const body = stream ? sseData(await response.text())[0] : await response.json();
      const [choice] = (body as { choices: { delta?: object; message?: object }[] }).choices;
      expect(choice?.delta ?? choice?.message).toMatchObject({
        role: "assistant",
        content: "Yes",
        reasoning_content: "Hm.",
      });
    },
  );

  test("arrives piece by piece", async () => {
    let open = () => {};
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const steps = [chunk({ content: "one" }), () => opened, chunk({ content: "two" }, "stop"), doneEvent];
    upstream.script({ headers: eventStream, steps });
    const response = await chat({ stream: true });
    const decoder = new TextDecoder();
    let text = "";
    for await (const bytes of response.body as ReadableStream<Uint8Array>) {
      text += decoder.decode(bytes, { stream: true });
      if (text.includes("one") && !text.includes("two")) open();
    }
    expect(text).toContain("two");
  });

  test("is no longer fetched when the client has left", async () => {
    for (const stream of [true, false]) {
      upstream.script(
        stream ? { headers: eventStream, steps: [chunk({ content: "Hi" }), forever] } : { steps: [forever] },
      );
      const reached = upstream.nextCall();
      const leaver = new AbortController();
      const answer = fetch(`${gateway.baseURL}/chat/completions`, {
        method: "POST",
        headers: client,
        signal: leaver.signal,
        body: JSON.stringify({ model: "echo", stream, messages: [{ role: "user", content: "Hi" }] }),
      }).then((response) => response.text());
      const { over } = await reached;
      leaver.abort();
      await expect(answer).rejects.toThrow();
      await over;
    }
  });
});

describe("an error", () => {
  const openAi = (message: string, code: string | null = null) => ({
    error: { message, type: "invalid_request_error", param: "messages", code },
  });

  test.each([400, 402, 404, 409, 413, 422, 429, 500, 503, 529])(
    "%p keeps its status and words",
    async (status) => {
      for (const stream of [true, false]) {
        upstream.script(jsonScript(status, openAi("So it is.", "own_code"), { "x-should-retry": "false" }));
        const response = await chat({ stream });
        expect(response.status).toBe(status);
        expect(response.headers.get("x-should-retry")).toBe("false");
        const answer = await response.json();
        expect(schemaErrors("ErrorResponse", answer)).toEqual([]);
        expect(answer).toEqual(openAi("So it is.", "own_code"));
      }
    },
  );

  test.each([401, 403])("%p is about the gateway's own key: 502, and no trace of the key", async (status) => {
    for (const message of [`Incorrect API key: ${ownKey}`, "Incorrect API key: ****cdef", "Denied."]) {
      upstream.script(jsonScript(status, openAi(message, "invalid_api_key")));
      const response = await chat({});
      expect(response.status).toBe(502);
      expect(response.headers.get("x-should-retry")).toBe("false");
      const text = await response.text();
      expect(text).not.toMatch(/sk-live|cdef/);
      expect(JSON.parse(text).error.code).toBe("upstream_auth_failed");
    }
  });

  test("403 of a moderation is the client's", async () => {
    const error = { code: 403, message: "Your input was flagged.", metadata: { reasons: ["violence"] } };
    upstream.script(jsonScript(403, { error }));
    const response = await chat({});
    expect(response.status).toBe(403);
    expect((await response.json()).error).toMatchObject({
      code: "upstream_rejected",
      message: "Your input was flagged.",
    });
  });

  test("comes when time is up, and the call ends", async () => {
    upstream.script({ steps: [forever] });
    const reached = upstream.nextCall();
    const response = await chat({});
    expect(response.status).toBe(504);
    expect((await response.json()).error.code).toBe("upstream_timeout");
    await (await reached).over;
  });
});

describe("an upstream that closes kept connections", () => {
  test("while nothing is asked is reached over a new one", async () => {
    for (let time = 0; time < 5; time++) {
      expect((await chat({})).status).toBe(200);
      upstream.closeIdleConnections();
      await Bun.sleep(5);
    }
  });

  test("just when the next request is on its way is reached over a new one", async () => {
    for (let time = 0; time < 3; time++) {
      expect((await chat({})).status).toBe(200);
      upstream.cutNextIfKept();
      const response = await chat({});
      expect(response.status).toBe(200);
      expect((await response.json()).choices[0].message.content).toBe("Echo: Hello");
    }
  });
});

test("vendors' rate limits, one after another, open no circuit", async () => {
  const careful = await gatewayBeforeUpstreams({ OPENAI_BASE_URL: upstream.baseUrl, OPENAI_MODELS: "echo" });
  for (let time = 0; time < 10; time++) {
    upstream.script(jsonScript(429, { error: { message: "Slow down" } }, { "retry-after": "60" }));
    expect((await careful.chat({ model: "echo" })).status).toBe(429);
  }
  expect((await careful.chat({ model: "echo" })).status).toBe(200);
});

test("a request that breaks off reaches no upstream", async () => {
  const { hostname, port } = new URL(gateway.url);
  const before = upstream.calls.length;
  const socket = connect(Number(port), hostname);
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-client\r\ncontent-length: 500\r\n\r\n{"model":"echo"`,
    () => socket.destroy(),
  );
  await new Promise((resolve) => socket.once("close", resolve));
  expect((await chat({})).status).toBe(200);
  expect(upstream.calls.length).toBe(before + 1);
});

test("no key has come out anywhere", () => {
  expect(gateway.output()).not.toMatch(/sk-live|sk-client/);
});
