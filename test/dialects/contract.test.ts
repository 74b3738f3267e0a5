/** Every dialect of the gateway, by the contract of dialects. */
import { expect } from "bun:test";
import { dialectContract, type Said } from "../contracts/dialect.ts";
import type { Json } from "../fakes/openai-upstream.ts";
import { accumulate, eventErrors, readEvents, responseErrors } from "../support/responses.ts";
import { sseData } from "../support/test-handler.ts";

const model = "test-model";
const parameters = { type: "object", properties: {} };
const functionTools = (names: readonly string[] = []) =>
  names.map((name) => ({ type: "function", function: { name, parameters } }));

const openAiError = ({ error, ...rest }: Json): string => {
  expect(rest).toEqual({});
  expect(Object.keys(error).sort()).toEqual(["code", "message", "param", "type"]);
  return error.message;
};

const lastSseError = (text: string): string => {
  expect(text).not.toContain("[DONE]");
  return openAiError(sseData(text).at(-1));
};

const chatSaid = (message: Json, ended: string, usage: Json): Said => ({
  text: message.content ?? "",
  reasoning: message.reasoning_content ?? "",
  calls: (message.tool_calls ?? []).map(({ function: called }: Json) => ({
    name: called.name,
    input: JSON.parse(called.arguments),
  })),
  ended,
  promptTokens: usage.prompt_tokens,
  completionTokens: usage.completion_tokens,
});

dialectContract("Chat Completions", {
  path: "/v1/chat/completions",
  request: ({ text, stream, tools, image }) => ({
    model,
    stream,
    ...(stream && { stream_options: { include_usage: true } }),
    messages: [
      {
        role: "user",
        content: image
          ? [
              { type: "text", text },
              { type: "image_url", image_url: { url: `data:image/png;base64,${image}` } },
            ]
          : text,
      },
    ],
    ...(tools && { tools: functionTools(tools) }),
  }),
  read: ({ choices: [{ message, finish_reason }], usage }) => chatSaid(message, finish_reason, usage),
  readStream(text) {
    const events = sseData(text) as Json[];
    expect(events.pop()).toBe("[DONE]");
    const { choices, usage } = events.pop() as Json;
    expect(choices).toEqual([]);
    const message: Json = { content: "", reasoning_content: "", tool_calls: [] };
    let ended = "";
    for (const {
      choices: [choice],
    } of events) {
      const { delta } = choice;
      message.content += delta.content ?? "";
      message.reasoning_content += delta.reasoning_content ?? "";
      for (const { index, function: called } of delta.tool_calls ?? []) {
        message.tool_calls[index] ??= { function: { name: called.name, arguments: "" } };
        message.tool_calls[index].function.arguments += called.arguments;
      }
      ended = choice.finish_reason ?? ended;
    }
    return chatSaid(message, ended, usage);
  },
  readError: openAiError,
  readStreamError: lastSseError,
  ends: { stop: "stop", length: "length", calls: "tool_calls", refusal: "content_filter" },
  keepAlive: ": keep-alive\n\n",
});

dialectContract("Completions", {
  path: "/v1/completions",
  lacks: ["tools", "images", "reasoning"],
  request: ({ text, stream }) => ({
    model,
    prompt: text,
    stream,
    ...(stream && { stream_options: { include_usage: true } }),
  }),
  read: ({ id, object, choices: [{ text, finish_reason }], usage }) => {
    expect({ id: id.slice(0, 5), object }).toEqual({ id: "cmpl-", object: "text_completion" });
    return { ...chatSaid({ content: text }, finish_reason, usage) };
  },
  readStream(text) {
    const events = sseData(text) as Json[];
    expect(events.pop()).toBe("[DONE]");
    expect(new Set(events.map(({ id }) => id)).size).toBe(1);
    const { choices, usage } = events.pop() as Json;
    expect(choices).toEqual([]);
    const all = events.flatMap((event) => event.choices);
    expect(all.slice(0, -1).map(({ finish_reason }) => finish_reason)).toEqual(
      all.slice(0, -1).map(() => null),
    );
    return chatSaid({ content: all.map((choice) => choice.text).join("") }, all.at(-1).finish_reason, usage);
  },
  readError: openAiError,
  readStreamError: lastSseError,
  ends: { stop: "stop", length: "length", calls: "stop", refusal: "content_filter" },
  keepAlive: ": keep-alive\n\n",
});

const responseSaid = ({ output, usage, status, incomplete_details }: Json): Said => {
  const parts = output.flatMap((item: Json) => item.content ?? []);
  return {
    text: parts.map((part: Json) => part.text ?? part.refusal).join(""),
    reasoning: output.flatMap(({ summary = [] }: Json) => summary.map(({ text }: Json) => text)).join(""),
    calls: output.flatMap((item: Json) =>
      item.type === "function_call" ? [{ name: item.name, input: JSON.parse(item.arguments) }] : [],
    ),
    ended: incomplete_details?.reason ?? status,
    promptTokens: usage.input_tokens,
    completionTokens: usage.output_tokens,
  };
};

dialectContract("Responses", {
  path: "/v1/responses",
  request: ({ text, stream, tools, image }) => ({
    model,
    stream,
    input: image
      ? [
          {
            role: "user",
            content: [
              { type: "input_text", text },
              { type: "input_image", image_url: `data:image/png;base64,${image}` },
            ],
          },
        ]
      : text,
    ...(tools && { tools: tools.map((name) => ({ type: "function", name, parameters })) }),
  }),
  read(body) {
    expect(responseErrors(body)).toEqual([]);
    return responseSaid(body);
  },
  readStream(text) {
    const events = readEvents(text);
    expect(eventErrors(events)).toEqual([]);
    return responseSaid(accumulate(events));
  },
  readError: openAiError,
  readStreamError(text) {
    const [error, failed] = readEvents(text).slice(-2) as [Json, Json];
    expect({ type: error.type, status: failed.response.status }).toEqual({ type: "error", status: "failed" });
    expect(failed.response.error.message).toBe(error.message);
    return error.message;
  },
  ends: {
    stop: "completed",
    length: "max_output_tokens",
    calls: "completed",
    refusal: "content_filter",
  },
  keepAlive: ": keep-alive\n\n",
});

const messagesError = ({ type, error, request_id, ...rest }: Json): string => {
  expect({ type, rest }).toEqual({ type: "error", rest: {} });
  expect(request_id).toBeString();
  expect(Object.keys(error).sort()).toEqual(["message", "type"]);
  return error.message;
};

/** The events of a stream of Messages: each has its name. */
const messagesEvents = (text: string): Json[] =>
  text
    .split("\n\n")
    .filter((event) => event.startsWith("event: "))
    .map((event) => {
      const [, name, data = ""] = /^event: (\w+)\ndata: (.*)$/.exec(event) ?? [];
      const parsed = JSON.parse(data);
      expect(parsed.type).toBe(name);
      return parsed;
    });

const messagesSaid = ({ content, stop_reason, usage }: Json): Said => ({
  text: content.map(({ text = "" }: Json) => text).join(""),
  reasoning: content.map(({ thinking = "" }: Json) => thinking).join(""),
  calls: content.flatMap(({ type, id, name, input }: Json) => {
    if (type !== "tool_use") return [];
    expect(id).toMatch(/^[a-zA-Z0-9_-]+$/);
    return [{ name, input }];
  }),
  ended: stop_reason,
  promptTokens: usage.input_tokens,
  completionTokens: usage.output_tokens,
});

dialectContract("Messages", {
  path: "/v1/messages",
  request: ({ text, stream, tools, image }) => ({
    model,
    max_tokens: 1000,
    stream,
    thinking: { type: "adaptive" },
    messages: [
      {
        role: "user",
        content: image
          ? [
              { type: "text", text },
              { type: "image", source: { type: "base64", media_type: "image/png", data: image } },
            ]
          : text,
      },
    ],
    ...(tools && { tools: tools.map((name) => ({ name, input_schema: parameters })) }),
  }),
  read(body) {
    expect(body).toMatchObject({ type: "message", role: "assistant", model, stop_sequence: null });
    return messagesSaid(body);
  },
  readStream(text) {
    const [first, ping, ...events] = messagesEvents(text);
    expect(first).toMatchObject({ type: "message_start", message: { content: [], stop_reason: null } });
    expect(first.message.usage.input_tokens).toBeGreaterThan(0);
    expect(ping).toEqual({ type: "ping" });
    expect(events.pop()).toEqual({ type: "message_stop" });
    const { type, delta, usage } = events.pop() as Json;
    expect({ type, stop_sequence: delta.stop_sequence }).toEqual({
      type: "message_delta",
      stop_sequence: null,
    });
    const content: Json[] = [];
    let isOpen = false;
    for (const event of events) {
      if (event.type === "content_block_start") {
        expect({ isOpen, index: event.index }).toEqual({ isOpen: false, index: content.length });
        content.push({ ...event.content_block, json: "" });
        isOpen = true;
        continue;
      }
      expect({ isOpen, index: event.index }).toEqual({ isOpen: true, index: content.length - 1 });
      const block = content.at(-1);
      if (event.type === "content_block_stop") {
        isOpen = false;
        if (block.type === "tool_use") block.input = JSON.parse(block.json);
        if (block.type === "thinking") expect(block.signature).not.toBe("");
        continue;
      }
      expect(event.type).toBe("content_block_delta");
      const { type: deltaType, ...fields } = event.delta;
      const deltas: Json = {
        text: ["text_delta"],
        thinking: ["thinking_delta", "signature_delta"],
        tool_use: ["input_json_delta"],
      };
      expect(deltas[block.type]).toContain(deltaType);
      for (const [field, value] of Object.entries(fields))
        block[field === "partial_json" ? "json" : field] += value;
    }
    expect(isOpen).toBe(false);
    return messagesSaid({ content, stop_reason: delta.stop_reason, usage });
  },
  readError: messagesError,
  readStreamError(text) {
    const events = messagesEvents(text);
    expect(events.map(({ type }) => type)).not.toContain("message_stop");
    return messagesError(events.at(-1));
  },
  ends: { stop: "end_turn", length: "max_tokens", calls: "tool_use", refusal: "refusal" },
  keepAlive: 'event: ping\ndata: {"type":"ping"}\n\n',
});

const ollamaLines = (text: string): Json[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

const ollamaError = ({ error, ...rest }: Json): string => {
  expect(rest).toEqual({});
  return error;
};

const ollamaSaid = (message: Json, { done, done_reason, ...counts }: Json): Said => {
  expect(done).toBe(true);
  return {
    text: message.content,
    reasoning: message.thinking ?? "",
    calls: (message.tool_calls ?? []).map(({ function: called }: Json) => ({
      name: called.name,
      input: called.arguments,
    })),
    ended: done_reason,
    promptTokens: counts.prompt_eval_count,
    completionTokens: counts.eval_count,
  };
};

dialectContract("Ollama", {
  path: "/api/chat",
  request: ({ text, stream, tools, image }) => ({
    model,
    // It streams unless it is told not to.
    ...(!stream && { stream }),
    messages: [{ role: "user", content: text, ...(image && { images: [image] }) }],
    ...(tools && { tools: functionTools(tools) }),
  }),
  read: (body) => ollamaSaid(body.message, body),
  readStream(text) {
    const lines = ollamaLines(text);
    const message: Json = { content: "", thinking: "", tool_calls: [] };
    for (const line of lines) {
      message.content += line.message.content;
      message.thinking += line.message.thinking ?? "";
      message.tool_calls.push(...(line.message.tool_calls ?? []));
    }
    expect(lines.slice(0, -1).map(({ done }) => done)).toEqual(lines.slice(0, -1).map(() => false));
    return ollamaSaid(message, lines.at(-1));
  },
  readError: ollamaError,
  readStreamError: (text) => ollamaError(ollamaLines(text).at(-1)),
  ends: { stop: "stop", length: "length", calls: "stop", refusal: "stop" },
  keepAlive: '"message":{"role":"assistant","content":""},"done":false}\n',
});
