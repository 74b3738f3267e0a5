/**
 * Answers in the shapes of vendors, each whole and streamed. Fields and quirks are those that the vendors document or are
 * known for; words and values are this project's own.
 */
import type { MendName } from "./mends.ts";

// biome-ignore lint/suspicious/noExplicitAny: what vendors send has any shape
export type Json = any;

export interface Recording {
  readonly vendor: string;
  /** The events of a stream: objects are JSON, texts are lines as they are. */
  readonly stream: readonly (object | string)[];
  readonly whole: object;
  /** What the gateway mends of it, beside what it mends of every answer. */
  readonly mends?: readonly MendName[];
}

const usage = { prompt_tokens: 9, completion_tokens: 6, total_tokens: 15 };
const done = "data: [DONE]";
const text = "Blue, über alles 🫖.";
const pieces = ["Blue,", " über", " alles 🫖."];
const call = (id: string, city: string, more: object = {}) => ({
  id,
  type: "function",
  function: { name: "look_up", arguments: JSON.stringify({ city }) },
  ...more,
});

interface Shape {
  /** Fields of every event. */
  readonly head?: object;
  /** Fields of every event of a stream. */
  readonly chunkHead?: object;
  /** Deltas; a list stands for `[delta, fields of the choice, fields of the event]`. */
  readonly deltas: readonly (object | readonly [object, object?, object?])[];
  /** The finish_reason of the last delta. */
  readonly finish?: string;
  /** Fields of the last event, in its choice and at its top. */
  readonly last?: readonly [object, object?];
  /** Events after the last delta. */
  readonly after?: readonly (object | string)[];
  readonly before?: readonly (object | string)[];
  readonly message: object;
  readonly choice?: object;
  readonly wholeHead?: object;
  readonly mends?: readonly MendName[];
}

function record(vendor: string, shape: Shape): Recording {
  const {
    head = {},
    chunkHead = {},
    deltas,
    finish = "stop",
    last = [{}],
    after = [counts(vendor), done],
    mends,
  } = shape;
  const shared = { id: `${vendor}-7f3a`, created: 1_760_000_000, model: `${vendor}-large`, ...head };
  const chunk = (delta: object, choice: object = {}, top: object = {}) => ({
    ...shared,
    object: "chat.completion.chunk",
    ...chunkHead,
    choices: [{ index: 0, delta, finish_reason: null, ...choice }],
    ...top,
  });
  const events = deltas.map((delta, index) => {
    const [fields, choice, top] = (Array.isArray(delta) ? delta : [delta]) as [object, object?, object?];
    if (index < deltas.length - 1) return chunk(fields, choice, top);
    const [lastChoice, lastTop] = last;
    return chunk(fields, { finish_reason: finish, ...choice, ...lastChoice }, { ...top, ...lastTop });
  });
  return {
    vendor,
    stream: [...(shape.before ?? []), ...events, ...after],
    whole: {
      ...shared,
      object: "chat.completion",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: text, ...shape.message },
          finish_reason: finish,
          ...shape.choice,
        },
      ],
      usage,
      ...shape.wholeHead,
    },
    ...(mends && { mends }),
  };
}

const words = pieces.map((content) => ({ content }));
const opening = { role: "assistant", content: "" };
const counts = (vendor: string, more: object = {}) => ({
  id: `${vendor}-7f3a`,
  object: "chat.completion.chunk",
  created: 1_760_000_000,
  model: `${vendor}-large`,
  choices: [],
  usage,
  ...more,
});

export const recordings: readonly Recording[] = [
  record("openai", {
    head: { service_tier: "default", system_fingerprint: "fp_1" },
    chunkHead: { obfuscation: "aXb9" },
    deltas: [
      { ...opening, refusal: null },
      ...words.map((delta): [object, object] => [delta, { logprobs: null }]),
      {},
    ],
    after: [counts("openai", { obfuscation: "k" }), done],
    message: { refusal: null, annotations: [] },
    mends: ["padding"],
  }),
  record("openai-tools", {
    deltas: [
      {
        role: "assistant",
        content: null,
        tool_calls: [
          { index: 0, id: "call_a", type: "function", function: { name: "look_up", arguments: "" } },
        ],
      },
      { tool_calls: [{ index: 0, function: { arguments: '{"city":' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '"Bonn"}' } }] },
      {
        tool_calls: [
          { index: 1, id: "call_b", type: "function", function: { name: "look_up", arguments: "" } },
        ],
      },
      { tool_calls: [{ index: 1, function: { arguments: '{"city":"Ulm"}' } }] },
      {},
    ],
    finish: "tool_calls",
    message: { content: null, tool_calls: [call("call_a", "Bonn"), call("call_b", "Ulm")] },
  }),
  record("azure", {
    before: [
      {
        id: "",
        object: "",
        created: 0,
        model: "",
        choices: [],
        prompt_filter_results: [{ prompt_index: 0, content_filter_results: { hate: { filtered: false } } }],
      },
    ],
    deltas: [
      opening,
      ...words.map((delta): [object, object] => [
        delta,
        { content_filter_results: { hate: { filtered: false, severity: "safe" } } },
      ]),
      [{}, { content_filter_results: {} }],
    ],
    after: [counts("azure"), done],
    message: {},
    choice: { content_filter_results: { hate: { filtered: false, severity: "safe" } } },
    wholeHead: { prompt_filter_results: [{ prompt_index: 0, content_filter_results: {} }] },
  }),
  record("groq", {
    head: { system_fingerprint: "fp_groq" },
    deltas: [
      [{ ...opening }, {}, { x_groq: { id: "req_1" } }],
      { reasoning: "The sky" },
      { reasoning: " is blue." },
      ...words,
      {},
    ],
    last: [{}, { x_groq: { id: "req_1", usage: { ...usage, queue_time: 0.01, total_time: 0.2 } } }],
    message: { reasoning: "The sky is blue." },
    wholeHead: { x_groq: { id: "req_1" }, usage: { ...usage, queue_time: 0.01 } },
    mends: ["reasoning"],
  }),
  record("mistral", {
    deltas: [
      { ...opening },
      ...words.map((delta): [object, object, object] => [delta, {}, { p: "abcdefgh" }]),
    ],
    last: [{}, { usage }],
    after: [done],
    message: { tool_calls: null, prefix: false },
    mends: ["null-fields", "padding"],
  }),
  record("mistral-thinking", {
    deltas: [
      { role: "assistant", content: [{ type: "thinking", thinking: [{ type: "text", text: "The sky" }] }] },
      {
        content: [
          { type: "thinking", thinking: [{ type: "text", text: " is blue." }] },
          { type: "text", text: pieces[0] },
        ],
      },
      ...words.slice(1),
    ],
    last: [{}, { usage }],
    after: [done],
    message: {
      content: [
        { type: "thinking", thinking: [{ type: "text", text: "The sky is blue." }] },
        { type: "text", text },
      ],
    },
    mends: ["content-list"],
  }),
  record("mistral-tools", {
    deltas: [
      { ...opening },
      {
        content: "",
        tool_calls: [{ index: 0, id: "mis000001", function: { name: "look_up", arguments: '{"city": ' } }],
      },
      { tool_calls: [{ index: 0, id: "mis000001", function: { name: "", arguments: '"Bonn"}' } }] },
    ],
    finish: "tool_calls",
    last: [{}, { usage }],
    after: [done],
    message: { content: "", tool_calls: [{ ...call("mis000001", "Bonn"), index: 0 }] },
    mends: ["tool-calls"],
  }),
  record("deepseek", {
    head: { system_fingerprint: "fp_ds" },
    deltas: [
      { role: "assistant", content: null, reasoning_content: "" },
      { content: null, reasoning_content: "The sky" },
      { content: null, reasoning_content: " is blue." },
      ...words.map(({ content }) => ({ content, reasoning_content: null })),
      { content: "", reasoning_content: null },
    ],
    last: [{}, { usage: { ...usage, prompt_cache_hit_tokens: 4, prompt_cache_miss_tokens: 5 } }],
    after: [done],
    message: { reasoning_content: "The sky is blue." },
    choice: { logprobs: null },
  }),
  record("perplexity", {
    head: {
      citations: ["https://example.com/a"],
      search_results: [{ title: "Sky", url: "https://example.com/a", date: null }],
    },
    deltas: pieces.map((content, index): [object, object] => [
      { role: "assistant", content },
      { message: { role: "assistant", content: pieces.slice(0, index + 1).join("") } },
    ]),
    last: [
      {},
      { usage: { ...usage, search_context_size: "low", citation_tokens: 3, num_search_queries: 1 } },
    ],
    after: [],
    message: {},
    choice: { delta: { role: "assistant", content: "" } },
  }),
  record("xai", {
    head: { system_fingerprint: "fp_x" },
    deltas: [
      { role: "assistant", reasoning_content: "The sky is blue." },
      ...words.map((delta) => ({ ...delta, role: "assistant" })),
      {},
    ],
    after: [
      counts("xai", {
        citations: ["https://example.com/a"],
        usage: { ...usage, num_sources_used: 1, completion_tokens_details: { reasoning_tokens: 3 } },
      }),
      done,
    ],
    message: { reasoning_content: "The sky is blue.", refusal: null },
    wholeHead: { citations: ["https://example.com/a"] },
  }),
  record("openrouter", {
    head: { provider: "Some" },
    before: [": OPENROUTER PROCESSING"],
    deltas: [
      {
        ...opening,
        reasoning: "The sky",
        reasoning_details: [{ type: "reasoning.text", text: "The sky", format: "unknown", index: 0 }],
      },
      ...words.map((delta): [object, object] => [
        { role: "assistant", ...delta },
        { native_finish_reason: null, logprobs: null },
      ]),
      { role: "assistant", content: "" },
    ],
    last: [{ native_finish_reason: "completed", logprobs: null }],
    after: [
      {
        ...counts("openrouter"),
        provider: "Some",
        choices: [
          { index: 0, delta: opening, finish_reason: null, native_finish_reason: null, logprobs: null },
        ],
        usage: { ...usage, cost: 0.0001, is_byok: false },
      },
      done,
    ],
    message: {
      refusal: null,
      reasoning: "The sky",
      reasoning_details: [{ type: "reasoning.text", text: "The sky", format: "unknown", index: 0 }],
    },
    choice: { native_finish_reason: "completed", logprobs: null },
    mends: ["reasoning", "remarks"],
  }),
  record("moonshot", {
    deltas: [opening, ...words, {}],
    last: [{ usage }],
    after: [done],
    message: {},
  }),
  record("minimax", {
    head: { base_resp: { status_code: 0, status_msg: "" } },
    chunkHead: { input_sensitive: false, output_sensitive: false },
    deltas: [{ ...opening, name: "M", audio_content: "" }, ...words],
    message: { name: "M", audio_content: "" },
    wholeHead: { input_sensitive: false, output_sensitive_type: 0 },
  }),
  record("zhipu", {
    head: { request_id: "2026" },
    deltas: [...words.map((delta) => ({ role: "assistant", ...delta })), { role: "assistant", content: "" }],
    finish: "sensitive",
    last: [{}, { usage }],
    after: [done],
    message: {},
    wholeHead: { web_search: [{ title: "Sky", link: "https://example.com/a" }] },
    mends: ["finish-word"],
  }),
  record("dashscope", {
    deltas: [
      { ...opening, reasoning_content: null, function_call: null, refusal: null, tool_calls: null },
      {
        tool_calls: [
          { index: 0, id: "call_q", type: "function", function: { name: "look_up", arguments: "" } },
        ],
      },
      { tool_calls: [{ index: 0, id: "", type: "function", function: { arguments: '{"city":"Bonn"}' } }] },
      { content: "" },
    ],
    finish: "stop",
    after: [counts("dashscope"), done],
    message: { content: "", tool_calls: [{ ...call("call_q", "Bonn"), index: 0 }] },
    mends: ["null-fields", "finish-tools", "tool-calls"],
  }),
  record("gemini", {
    deltas: [
      { role: "assistant", content: pieces[0] },
      { role: "assistant", content: pieces.slice(1).join("") },
      {
        role: "assistant",
        tool_calls: [
          { ...call("", "Bonn"), index: 0, extra_content: { google: { thought_signature: "c2ln" } } },
          { ...call("", "Ulm"), index: 0 },
        ],
      },
    ],
    last: [{}, { usage }],
    after: [done],
    message: {
      tool_calls: [
        call("function-call-1", "Bonn", { extra_content: { google: { thought_signature: "c2ln" } } }),
        call("function-call-1", "Ulm"),
      ],
    },
    mends: ["tool-calls", "finish-tools"],
  }),
  record("cerebras", {
    head: { system_fingerprint: "fp_c" },
    deltas: [{ role: "assistant" }, { reasoning: "Sky." }, ...words, {}],
    last: [{}, { usage, time_info: { queue_time: 0.001, total_time: 0.02 } }],
    after: [done],
    message: { reasoning: "Sky." },
    wholeHead: { time_info: { queue_time: 0.001 } },
    mends: ["reasoning"],
  }),
  record("together", {
    deltas: words.map((delta, index): [object, object] => [
      { role: "assistant", token_id: 100 + index, tool_calls: [], ...delta },
      { logprobs: null, seed: null, text: delta.content },
    ]),
    finish: "eos",
    last: [{ seed: 12 }, { usage, warnings: [] }],
    after: [done],
    message: { tool_calls: [] },
    choice: { seed: 12, logprobs: null },
    wholeHead: { prompt: [] },
    mends: ["finish-word"],
  }),
  record("fireworks", {
    deltas: [{ role: "assistant" }, ...words, {}],
    last: [{}, { usage, perf_metrics: null }],
    after: [done],
    message: {},
  }),
  record("ollama", {
    head: { system_fingerprint: "fp_ollama" },
    deltas: [
      { ...opening, reasoning: "Sky" },
      { ...opening, reasoning: "." },
      ...words.map((delta) => ({ role: "assistant", ...delta })),
      opening,
    ],
    message: { reasoning: "Sky." },
    mends: ["reasoning"],
  }),
  record("llama.cpp", {
    deltas: [{ role: "assistant", content: null }, ...words, {}],
    last: [{}, { timings: { prompt_n: 9, predicted_n: 6, predicted_ms: 40.5 } }],
    after: [counts("llama.cpp", { timings: { prompt_n: 9 } }), done],
    message: {},
    wholeHead: { timings: { prompt_n: 9 } },
  }),
  record("vllm", {
    deltas: [
      [opening, { logprobs: null }],
      ...words.map((delta): [object, object] => [delta, { logprobs: null, token_ids: null }]),
      { content: "" },
    ],
    finish: "length",
    last: [{ stop_reason: null }],
    after: [counts("vllm"), done],
    message: { reasoning_content: null, tool_calls: [] },
    choice: { stop_reason: null, logprobs: null },
    wholeHead: { prompt_logprobs: null, kv_transfer_params: null },
  }),
  record("lmstudio", {
    deltas: [...words.map((delta) => ({ role: "assistant", ...delta })), {}],
    message: { tool_calls: [] },
    choice: { logprobs: null },
    wholeHead: { stats: {} },
  }),
  record("cohere", {
    deltas: [opening, ...words, {}],
    finish: "MAX_TOKENS",
    last: [{}, { usage }],
    after: [done],
    message: {},
    mends: ["finish-word"],
  }),
  record("cloudflare", {
    chunkHead: { p: "abdefgh" },
    deltas: words.map((delta): [object, object] => [delta, { p: "ab" }]),
    message: { tool_calls: [] },
    mends: ["padding"],
  }),
  record("nvidia", {
    deltas: [...words.map((delta): [object, object] => [delta, { finish_reason: "stop" }]), {}],
    message: {},
    mends: ["finish-once"],
  }),
  record("siliconflow", {
    before: ["data: : keepalive", "data: null"],
    deltas: words.map((delta): [object, object, object] => [
      { role: "assistant", reasoning_content: null, ...delta },
      {},
      { usage },
    ]),
    after: [done],
    message: { reasoning_content: "" },
    mends: ["remarks"],
  }),
  record("proxy", {
    deltas: [{}, {}],
    after: [],
    before: [{ choices: [{ message: { role: "assistant", content: text }, finish_reason: "stop" }], usage }],
    message: {},
    mends: ["message"],
  }),
].map((recording) =>
  // The proxy sends its whole answer as the only event of a stream.
  recording.vendor === "proxy" ? { ...recording, stream: recording.stream.slice(0, 1) } : recording,
);
