/**
 * What the API reference says of each route, beside what code says of it: one row a route, tested against the router in
 * both directions. Not in the schemas themselves, which every build of the gateway carries.
 */
import { requestSchema } from "../../core/dialects/openai-chat.ts";
import { dialectOperations } from "./dialect-operations.ts";
import {
  chatErrors,
  done,
  eventsOf,
  exampleModel,
  type Operation,
  object,
  type Parameter,
  ref,
  text,
  upstreamErrors,
} from "./operation.ts";
import { responsesOperations } from "./responses-operations.ts";

const model = exampleModel;
const hello = [{ role: "user", content: "Hello!" }];

const sessionHeaders: readonly Parameter[] = [
  {
    name: "X-Session-Id",
    in: "header",
    what: [
      "Names a conversation that the server remembers: 1 to 512 visible ASCII characters.",
      "服务器所记住的会话名称：1 到 512 个可见 ASCII 字符。",
    ],
  },
];

export const operations: readonly Operation[] = [
  {
    method: "POST",
    path: "/chat/completions",
    id: "createChatCompletion",
    group: "chat",
    summary: ["Answer a chat", "回答一段对话"],
    description: [
      "OpenAI's Chat Completions. With `stream` the answer comes as server-sent events, one chunk each, and ends with `[DONE]`; a failure after the first chunk is an event with `error`. Fields that are not listed go on to an OpenAI-compatible upstream as they are.",
      "OpenAI 的 Chat Completions。设置 `stream` 时以服务器推送事件逐块返回，并以 `[DONE]` 结束；首块之后的失败是带 `error` 的事件。未列出的字段会原样转发给兼容 OpenAI 的上游。",
    ],
    parameters: [
      ...sessionHeaders,
      {
        name: "Idempotency-Key",
        in: "header",
        what: [
          "A request that repeats the conversation's last turn under the same key gets the same answer.",
          "以同一键重复会话最后一轮的请求会得到相同的回答。",
        ],
      },
    ],
    request: requestSchema,
    fields: {
      messages: ["The chat so far, the newest message last.", "到目前为止的对话，最新消息在最后。"],
      model: [
        "One of those that `GET /models` lists; left out, the default one.",
        "`GET /models` 列出的模型之一；省略则用默认模型。",
      ],
      stream: ["Whether the answer comes in pieces.", "是否流式返回。"],
      stream_options: [
        "`include_usage` adds a last chunk with token counts.",
        "`include_usage` 会在最后附加词元计数。",
      ],
      user: [
        "Your name for the end user: without a session header, their conversation is remembered under it.",
        "终端用户名称：没有会话头时，对话以它为名被记住。",
      ],
      stop: ["One text or several that end the answer.", "使回答结束的一个或多个文本。"],
      max_tokens: ["The most tokens that the answer may have.", "回答的最大词元数。"],
      max_completion_tokens: ["The newer name of `max_tokens`.", "`max_tokens` 的新名称。"],
      n: ["How many answers are wanted.", "需要几个回答。"],
      tools: [
        "Functions on offer; for upstreams whose models can call them.",
        "可供调用的函数；需要上游模型支持。",
      ],
      tool_choice: ["Which of them must be called.", "必须调用哪个函数。"],
    },
    success: {
      status: 200,
      content: {
        "application/json": ref("ChatCompletion"),
        "text/event-stream": eventsOf(ref("ChatCompletionChunk"), ref("Error"), done),
      },
      headers: {
        "x-request-id": ["The request's id, as in the log.", "请求 ID，与日志一致。"],
        "x-served-by": ["Who has answered: upstream and model.", "由谁回答：上游与模型。"],
        "x-context-dropped-messages": [
          "Messages of which nothing was told to the model.",
          "完全没有告诉模型的消息数。",
        ],
        "x-session-saved": ["`false` where the turn could not be kept.", "本轮未能保存时为 `false`。"],
      },
    },
    errors: chatErrors,
    examples: [
      { name: ["A question", "一个问题"], body: { model, messages: hello } },
      { name: ["Streamed", "流式"], body: { model, messages: hello, stream: true } },
      {
        name: ["In a remembered conversation", "在被记住的会话中"],
        headers: { "X-Session-Id": "holiday" },
        body: { model, messages: [{ role: "user", content: "My name is Ann." }] },
      },
    ],
  },
  ...responsesOperations,
  ...dialectOperations,
  {
    method: "GET",
    path: "/models",
    id: "listModels",
    group: "models",
    summary: ["List the models", "列出模型"],
    description: [
      "All models of all upstreams that answer; `owned_by` is the upstream. With the header `anthropic-version` in Anthropic's shape.",
      "所有可用上游的所有模型；`owned_by` 为上游名称。带 `anthropic-version` 请求头时采用 Anthropic 的格式。",
    ],
    success: {
      status: 200,
      content: { "application/json": { anyOf: [ref("ModelList"), ref("AnthropicModelList")] } },
    },
    errors: [],
    examples: [{ name: ["All", "全部"] }],
  },
  {
    method: "GET",
    path: "/models/:id+",
    id: "getModel",
    group: "models",
    summary: ["Show one model", "查看一个模型"],
    description: [
      "Names with a slash, such as `openai/gpt-4o`, may be written as they are. With the header `anthropic-version` in Anthropic's shape.",
      "带斜杠的名称（如 `openai/gpt-4o`）可直接书写。带 `anthropic-version` 请求头时采用 Anthropic 的格式。",
    ],
    parameters: [{ name: "id", in: "path", what: ["The model's id.", "模型 ID。"] }],
    success: {
      status: 200,
      content: { "application/json": { anyOf: [ref("Model"), ref("AnthropicModel")] } },
    },
    errors: ["not_found", "model_not_found", ...upstreamErrors],
    examples: [{ name: ["One", "一个"], path: { id: model } }],
  },
  {
    method: "GET",
    path: "/session",
    id: "getSession",
    group: "conversations",
    summary: ["Show what is remembered", "查看已记住的内容"],
    description: [
      "The messages of a conversation; empty where there is none. Times are seconds since the epoch.",
      "会话中的消息；没有则为空。时间为 Unix 秒。",
    ],
    parameters: sessionHeaders,
    success: { status: 200, content: { "application/json": ref("Session") } },
    errors: ["invalid_request", "sessions_need_a_key", "session_store_unavailable"],
    examples: [{ name: ["By its name", "按名称"], headers: { "X-Session-Id": "holiday" } }],
  },
  {
    method: "DELETE",
    path: "/session",
    id: "deleteSession",
    group: "conversations",
    summary: ["Forget a conversation", "忘记一段会话"],
    description: [
      "Also where there was nothing. It wins over turns that are under way.",
      "不存在时也会成功。它优先于正在进行的轮次。",
    ],
    parameters: sessionHeaders,
    success: { status: 204 },
    errors: ["invalid_request", "sessions_need_a_key", "rate_limit_exceeded", "session_store_unavailable"],
    examples: [{ name: ["By its name", "按名称"], headers: { "X-Session-Id": "holiday" } }],
  },
  {
    method: "GET",
    path: "/api/hello",
    id: "getHello",
    group: "operators",
    isPublic: true,
    summary: ["Say hello", "打招呼"],
    description: [
      "Claude Code's question whether the server is there.",
      "Claude Code 用它确认服务器是否在线。",
    ],
    success: { status: 200, content: { "application/json": { type: "object" } } },
    errors: [],
    examples: [{ name: ["Hello", "你好"] }],
  },
  {
    method: "GET",
    path: "/health",
    id: "getHealth",
    group: "operators",
    isPublic: true,
    summary: ["Show how the server is", "查看服务器状态"],
    description: [
      "Upstreams with their circuits, and the store of conversations. Answers as long as the process does.",
      "上游及其熔断状态、会话存储。只要进程在运行就会应答。",
    ],
    success: { status: 200, content: { "application/json": ref("Health") } },
    errors: [],
    examples: [{ name: ["Health", "状态"] }],
  },
  {
    method: "GET",
    path: "/ready",
    id: "getReady",
    group: "operators",
    isPublic: true,
    summary: ["Show whether a chat could be answered", "查看能否回答对话"],
    description: [
      "For load balancers: 503 while no key is set or every upstream is left alone.",
      "供负载均衡使用：未设密钥或所有上游都被熔断时为 503。",
    ],
    success: { status: 200, content: { "application/json": object({ ready: { const: true } }) } },
    further: { 503: { what: "No chat could be answered now", schema: object({ ready: { const: false } }) } },
    errors: [],
    examples: [{ name: ["Ready", "就绪"] }],
  },
  {
    method: "GET",
    path: "/metrics",
    id: "getMetrics",
    group: "operators",
    summary: ["Show counters and times", "查看计数与耗时"],
    description: ["In Prometheus' text format; of this process only.", "Prometheus 文本格式；仅限本进程。"],
    success: { status: 200, content: { "text/plain": text } },
    errors: [],
    examples: [{ name: ["Metrics", "指标"] }],
  },
  {
    method: "GET",
    path: "/requests",
    id: "listRequests",
    group: "operators",
    summary: ["List the newest requests", "列出最近的请求"],
    description: [
      "The facts of up to 50, as the log has them: never a key or the text of a message. Of this process only; `is_one_of_many` says whether there are others.",
      "最多 50 条请求的概况，与日志一致：从不包含密钥或消息正文。仅限本进程；`is_one_of_many` 说明是否还有其他实例。",
    ],
    success: { status: 200, content: { "application/json": ref("RequestList") } },
    errors: ["sessions_need_a_key"],
    examples: [{ name: ["All", "全部"] }],
  },
  {
    method: "GET",
    path: "/",
    id: "getWelcome",
    group: "operators",
    isPublic: true,
    summary: ["Show name and version", "查看名称与版本"],
    description: [
      "JSON for programs; a browser gets the chat page. `access` says who is let in: those with one of its `keys`, everyone (`open`), callers on its own machine (`loopback`), or nobody until a key is set (`unconfigured`).",
      "程序得到 JSON；浏览器得到聊天页面。`access` 说明允许谁访问：持有密钥者（`keys`）、所有人（`open`）、仅本机（`loopback`），或在设置密钥之前拒绝所有人（`unconfigured`）。",
    ],
    success: { status: 200, content: { "application/json": ref("Welcome"), "text/html": text } },
    errors: [],
    examples: [{ name: ["Welcome", "欢迎"] }],
  },
];
