/** The API reference's rows of OpenAI's Responses. */
import { requestSchema } from "../../core/dialects/openai-responses/request.ts";
import type { ErrorCode } from "../../core/errors.ts";
import {
  bodyErrors,
  chatErrors,
  exampleModel as model,
  number,
  type Operation,
  object,
  type Parameter,
  ref,
  text,
  upstreamErrors,
} from "./operation.ts";

/** A response that the first example has made. */
const made = { needs: "createResponse", path: { id: "resp_…" } } as const;
/** What can go wrong with a response that is asked for by its id, here or at the upstream that keeps it. */
const keptErrors: readonly ErrorCode[] = [
  "response_not_found",
  "session_store_unavailable",
  ...upstreamErrors,
  "upstream_rejected",
];
const responseId: Parameter = { name: "id", in: "path", what: ["The response's id.", "响应 ID。"] };

export const responsesOperations: readonly Operation[] = [
  {
    method: "POST",
    path: "/responses",
    id: "createResponse",
    group: "responses",
    summary: ["Answer a chat", "回答一段对话"],
    description: [
      "For Codex and OpenAI's Agents SDK. Responses are kept, unless `store` is false, and `previous_response_id` goes on with one.",
      "供 Codex 与 OpenAI Agents SDK 使用。除非 `store` 为 false，响应会被保存，可用 `previous_response_id` 继续。",
    ],
    request: requestSchema,
    fields: {
      model: [
        "One of those that `GET /models` lists; left out, the default one.",
        "`GET /models` 列出的模型之一；省略则用默认模型。",
      ],
      input: ["The newest text, or items of the chat.", "最新文本，或对话条目。"],
      instructions: ["The system prompt.", "系统提示词。"],
      previous_response_id: ["The response that this one follows.", "所接续的响应。"],
      store: ["Whether the response is kept.", "是否保存响应。"],
      stream: ["Whether the answer comes in pieces.", "是否流式返回。"],
      max_output_tokens: ["The most tokens that the answer may have.", "回答的最大词元数。"],
    },
    success: {
      status: 200,
      content: { "application/json": ref("Response"), "text/event-stream": ref("ResponseEvent") },
    },
    errors: [...chatErrors, "response_not_found", "previous_response_not_found"],
    examples: [
      { name: ["An answer", "一个回答"], body: { model, input: "Hello!" } },
      { name: ["Streamed", "流式"], body: { model, input: "Hello!", stream: true } },
    ],
  },
  {
    method: "GET",
    path: "/responses",
    id: "upgradeResponses",
    group: "responses",
    summary: ["Refuse a WebSocket", "拒绝 WebSocket"],
    description: [
      "Codex asks for one first, and goes on over HTTP when it is told that there is none.",
      "Codex 会先尝试 WebSocket，得知没有后改用 HTTP。",
    ],
    errors: ["method_not_allowed", "websocket_unsupported"],
    examples: [],
  },
  {
    method: "POST",
    path: "/responses/input_tokens",
    id: "countInputTokens",
    group: "responses",
    summary: ["Estimate the tokens of a request", "估算请求的词元数"],
    description: [
      "An estimate, made without the model; an upstream that speaks Responses is asked.",
      "由本服务器估算，不询问模型；上游支持 Responses 时由其计算。",
    ],
    request: requestSchema,
    success: { status: 200, content: { "application/json": object({ input_tokens: number }) } },
    errors: [
      ...bodyErrors,
      "model_not_found",
      "previous_response_not_found",
      "unsupported_content",
      "unsupported_parameter",
      ...keptErrors,
    ],
    examples: [{ name: ["A text", "一段文本"], body: { model, input: "Hello!" } }],
  },
  {
    method: "GET",
    path: "/responses/:id",
    id: "getResponse",
    group: "responses",
    summary: ["Show a response that is kept", "查看已保存的响应"],
    description: [
      "With `?stream=true` as the events that it came in.",
      "加 `?stream=true` 则以当时的事件返回。",
    ],
    parameters: [responseId],
    success: {
      status: 200,
      content: { "application/json": ref("Response"), "text/event-stream": ref("ResponseEvent") },
    },
    errors: ["invalid_request", ...keptErrors],
    examples: [{ name: ["One", "一个"], ...made }],
  },
  {
    method: "DELETE",
    path: "/responses/:id",
    id: "deleteResponse",
    group: "responses",
    summary: ["Forget a response", "忘记一个响应"],
    description: ["It can't be shown or continued any more.", "之后无法再查看或接续。"],
    parameters: [responseId],
    success: {
      status: 200,
      content: { "application/json": object({ id: text, object: text, deleted: { type: "boolean" } }) },
    },
    errors: keptErrors,
    examples: [{ name: ["One", "一个"], ...made }],
  },
  {
    method: "GET",
    path: "/responses/:id/input_items",
    id: "listInputItems",
    group: "responses",
    summary: ["List the input of a response", "列出响应的输入条目"],
    description: [
      "The newest first; `?limit=`, `?order=` and `?after=` page through them.",
      "最新在前；可用 `?limit=`、`?order=`、`?after=` 翻页。",
    ],
    parameters: [responseId],
    success: {
      status: 200,
      content: {
        "application/json": object({
          object: { const: "list" },
          data: { type: "array", items: { type: "object" } },
        }),
      },
    },
    errors: ["invalid_request", ...keptErrors],
    examples: [{ name: ["All", "全部"], ...made }],
  },
  {
    method: "POST",
    path: "/responses/:id/cancel",
    id: "cancelResponse",
    group: "responses",
    summary: ["Cancel a response", "取消一个响应"],
    description: [
      "Only one that an upstream which speaks Responses makes in the background.",
      "仅限支持 Responses 的上游在后台生成的响应。",
    ],
    parameters: [responseId],
    success: { status: 200, content: { "application/json": ref("Response") } },
    errors: ["invalid_request", ...keptErrors],
    examples: [],
  },
];
