/** The API reference's rows of the dialects beside Chat Completions. */
import { requestSchema as messagesSchema } from "../../core/dialects/anthropic-messages/request.ts";
import { requestSchema as ollamaSchema, showSchema } from "../../core/dialects/ollama.ts";
import { requestSchema as completionsSchema } from "../../core/dialects/openai-completions.ts";
import type { Words } from "../../web/shared/language.ts";
import {
  bodyErrors,
  chatErrors,
  done,
  eventsOf,
  exampleModel as model,
  number,
  type Operation,
  object,
  ref,
  text,
} from "./operation.ts";

const messages = [{ role: "user", content: "Hello!" }];

const common = {
  model: [
    "One of those that `GET /models` lists; left out, the default one.",
    "`GET /models` 列出的模型之一；省略则用默认模型。",
  ],
  messages: ["The chat so far, the newest message last.", "到目前为止的对话，最新消息在最后。"],
  stream: ["Whether the answer comes in pieces.", "是否流式返回。"],
  max_tokens: ["The most tokens that the answer may have.", "回答的最大词元数。"],
  tools: [
    "Functions on offer; for upstreams whose models can call them.",
    "可供调用的函数；需要上游模型支持。",
  ],
} satisfies Record<string, Words>;

const answer: Words = ["An answer", "一个回答"];
const streamed: Words = ["Streamed", "流式"];

export const dialectOperations: readonly Operation[] = [
  {
    method: "POST",
    path: "/messages",
    id: "createMessage",
    group: "messages",
    summary: ["Answer a chat", "回答一段对话"],
    description: [
      "For Claude Code and Anthropic's packages. Errors have Anthropic's shape: `{type, error: {type, message}, request_id}`.",
      "供 Claude Code 及 Anthropic 的软件包使用。错误采用 Anthropic 的格式：`{type, error: {type, message}, request_id}`。",
    ],
    request: messagesSchema,
    fields: {
      ...common,
      system: ["The system prompt.", "系统提示词。"],
      stop_sequences: ["Texts that end the answer.", "使回答结束的文本。"],
      tool_choice: ["Which tool must be called.", "必须调用哪个工具。"],
      thinking: ["Whether thoughts are shown.", "是否显示思考。"],
    },
    success: {
      status: 200,
      content: {
        "application/json": ref("Message"),
        "text/event-stream": eventsOf(ref("MessageEvent"), ref("AnthropicError")),
      },
    },
    errors: chatErrors,
    examples: [
      { name: answer, body: { model, max_tokens: 1000, messages } },
      { name: streamed, body: { model, max_tokens: 1000, messages, stream: true } },
    ],
  },
  {
    method: "POST",
    path: "/messages/count_tokens",
    id: "countTokens",
    group: "messages",
    summary: ["Estimate the tokens of a chat", "估算对话的词元数"],
    description: ["An estimate, made without the model.", "由本服务器估算，不询问模型。"],
    request: messagesSchema,
    fields: common,
    success: { status: 200, content: { "application/json": object({ input_tokens: number }) } },
    errors: bodyErrors,
    examples: [{ name: ["A chat", "一段对话"], body: { model, messages } }],
  },
  {
    method: "POST",
    path: "/completions",
    id: "createCompletion",
    group: "completions",
    summary: ["Answer a text", "回答一段文本"],
    description: [
      "The older API. The prompt becomes a user's message, unless the upstream has `/completions` itself.",
      "较旧的接口。除非上游自带 `/completions`，否则提示会成为一条用户消息。",
    ],
    request: completionsSchema,
    fields: {
      ...common,
      prompt: ["The text.", "文本。"],
      suffix: [
        "What follows the answer, for upstreams that can fill in.",
        "回答之后的文本，供支持填充的上游使用。",
      ],
      echo: ["Whether the answer begins with the prompt.", "回答是否以提示开头。"],
      stop: ["One text or several that end the answer.", "使回答结束的一个或多个文本。"],
    },
    success: {
      status: 200,
      content: {
        "application/json": ref("TextCompletion"),
        "text/event-stream": eventsOf(ref("TextCompletionChunk"), ref("Error"), done),
      },
    },
    errors: chatErrors,
    examples: [
      { name: answer, body: { model, prompt: "Hello!" } },
      { name: streamed, body: { model, prompt: "Hello!", stream: true } },
    ],
  },
  {
    method: "POST",
    path: "/api/chat",
    id: "ollamaChat",
    group: "ollama",
    summary: ["Answer a chat", "回答一段对话"],
    description: [
      "Streams unless `stream` is false: a JSON object on each line. Errors are `{error: message}`.",
      "除非 `stream` 为 false，否则流式返回：每行一个 JSON 对象。错误为 `{error: message}`。",
    ],
    request: ollamaSchema,
    fields: { ...common, options: ["`num_predict` and `stop`.", "`num_predict` 与 `stop`。"] },
    success: {
      status: 200,
      content: {
        "application/json": ref("OllamaChat"),
        "application/x-ndjson": eventsOf(ref("OllamaChat"), ref("OllamaError")),
      },
    },
    errors: chatErrors,
    examples: [
      { name: answer, body: { model, messages, stream: false } },
      { name: streamed, body: { model, messages } },
    ],
  },
  {
    method: "GET",
    path: "/api/version",
    id: "ollamaVersion",
    group: "ollama",
    summary: ["Show the version of Ollama that is spoken", "查看所兼容的 Ollama 版本"],
    description: [
      "By which VS Code and Open WebUI know that it is there.",
      "VS Code 与 Open WebUI 以此确认服务器存在。",
    ],
    success: { status: 200, content: { "application/json": object({ version: text }) } },
    errors: [],
    examples: [{ name: ["Version", "版本"] }],
  },
  {
    method: "GET",
    path: "/api/tags",
    id: "ollamaTags",
    group: "ollama",
    summary: ["List the models", "列出模型"],
    description: ["The same models in Ollama's shape.", "同样的模型，Ollama 的格式。"],
    success: {
      status: 200,
      content: {
        "application/json": object({ models: { type: "array", items: object({ name: text, model: text }) } }),
      },
    },
    errors: [],
    examples: [{ name: ["All", "全部"] }],
  },
  {
    method: "POST",
    path: "/api/show",
    id: "ollamaShow",
    group: "ollama",
    summary: ["Show one model", "查看一个模型"],
    description: ["What the model can do, and how much room it has.", "模型的能力与上下文长度。"],
    request: showSchema,
    fields: {
      model: ["The model's id.", "模型 ID。"],
      name: ["The older name of `model`.", "`model` 的旧名称。"],
    },
    success: {
      status: 200,
      content: {
        "application/json": object({
          capabilities: { type: "array", items: text },
          model_info: { type: "object" },
        }),
      },
    },
    errors: [...bodyErrors, "model_not_found"],
    examples: [{ name: ["One", "一个"], body: { model } }],
  },
];
