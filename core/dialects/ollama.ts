/**
 * Ollama's chat, and what its clients look for first: https://github.com/ollama/ollama/blob/main/docs/api.md
 * A stream has a JSON object on each line.
 */
import * as v from "valibot";
import type { ApiError } from "../errors.ts";
import type {
  Answer,
  AnswerEncoder,
  AnswerHead,
  Dialect,
  DialectCall,
  DialectInput,
  JsonObject,
  OfferedModel,
  Reply,
  Route,
  UpstreamEvent,
  Usage,
} from "../types.ts";
import { isRecord } from "../util/json.ts";
import { type ChatBody, type ChatMessageBody, readPrompt } from "./shared/chat-completions-prompt.ts";
import { checkBody, wholeRange } from "./shared/check-body.ts";
import { callsWithInput } from "./shared/tool-input.ts";

const messageSchema = v.looseObject({
  role: v.picklist(["system", "user", "assistant", "tool"]),
  content: v.nullish(v.string()),
  images: v.nullish(v.array(v.string())),
  tool_calls: v.nullish(v.array(v.looseObject({}))),
});

export const requestSchema = v.looseObject({
  model: v.nullish(v.string()),
  messages: v.pipe(v.array(messageSchema), v.minLength(1, "must hold at least one message")),
  stream: v.nullish(v.boolean()),
  tools: v.nullish(v.array(v.looseObject({}))),
  options: v.nullish(
    v.looseObject({
      num_predict: wholeRange(-2, Number.MAX_SAFE_INTEGER),
      stop: v.nullish(v.array(v.string())),
    }),
  ),
});

type RequestBody = v.InferOutput<typeof requestSchema>;
type MessageBody = RequestBody["messages"][number];

/** What the base64 of an image begins with. */
const imageTypes = [
  ["/9j/", "image/jpeg"],
  ["R0lG", "image/gif"],
  ["UklG", "image/webp"],
] as const;

const imageUrl = (base64: string): string => {
  const [, type = "image/png"] = imageTypes.find(([start]) => base64.startsWith(start)) ?? [];
  return `data:${type};base64,${base64}`;
};

/** Calls have an id in Chat Completions only: they are counted, and results belong to them in order. */
class CallIds {
  #count = 0;
  #open: { readonly id: string; readonly name: unknown }[] = [];

  readCall(call: JsonObject): JsonObject {
    const { name, arguments: input } = isRecord(call.function) ? call.function : {};
    const id = typeof call.id === "string" ? call.id : `call_${this.#count++}`;
    this.#open.push({ id, name });
    const json = typeof input === "string" ? input : JSON.stringify(input ?? {});
    return { id, type: "function", function: { name, arguments: json } };
  }

  /** The call that a result is of: the oldest of its name that has none yet. */
  take({ tool_call_id: id, tool_name: name }: MessageBody): string {
    if (typeof id === "string") return id;
    const at = name === undefined ? 0 : this.#open.findIndex((call) => call.name === name);
    return this.#open.splice(Math.max(at, 0), 1)[0]?.id ?? `call_${this.#count++}`;
  }
}

const readMessage = (message: MessageBody, ids: CallIds): ChatMessageBody => {
  const { role, images, tool_calls: calls } = message;
  const text = message.content ?? "";
  if (role === "tool") return { role, content: text, tool_call_id: ids.take(message) };
  if (calls?.length) {
    const toolCalls = calls.map((call) => ids.readCall(call));
    return { role, content: text === "" ? null : text, tool_calls: toolCalls };
  }
  if (!images?.length) return { role, content: text };
  const parts = images.map((image) => ({ type: "image_url", image_url: { url: imageUrl(image) } }));
  return { role, content: text === "" ? parts : [{ type: "text", text }, ...parts] };
};

/** `"json"`, or a schema. */
const readFormat = (format: unknown): Partial<ChatBody> => {
  if (format === "json") return { response_format: { type: "json_object" } };
  if (!isRecord(format)) return {};
  return { response_format: { type: "json_schema", json_schema: { name: "answer", schema: format } } };
};

/** Options that mean the same in both formats; those of Ollama's own sampler mean nothing elsewhere. */
const commonOptions = [
  "temperature",
  "top_p",
  "seed",
  "presence_penalty",
  "frequency_penalty",
  "stop",
] as const;

function readOptions(options: RequestBody["options"]): Partial<ChatBody> {
  if (options == null) return {};
  const fields = commonOptions.flatMap((name) => (options[name] == null ? [] : [[name, options[name]]]));
  // -1 and -2 are Ollama's words for "no end".
  const { num_predict: maxTokens = 0 } = options;
  return {
    ...Object.fromEntries(fields),
    ...(maxTokens != null && maxTokens > 0 && { max_tokens: maxTokens }),
  };
}

/** Throws ApiError invalid_request. */
function parse({ body }: DialectInput): DialectCall {
  const request = checkBody(requestSchema, body);
  const { model, messages, stream, tools, think } = request;
  const ids = new CallIds();
  const chat: ChatBody = {
    messages: messages.map((message) => readMessage(message, ids)),
    stream: stream !== false,
    ...(tools?.length && { tools }),
    ...readFormat(request.format),
    ...readOptions(request.options),
    // "low", "medium" or "high"; true and false say only whether the thoughts are shown.
    ...(typeof think === "string" && { reasoning_effort: think }),
  };
  return {
    prompt: readPrompt(chat, { usage: true }),
    memory: { kind: "session" },
    ...(model && { model }),
    encoder: (head) => new OllamaEncoder(think !== false, head),
  };
}

/** Arguments are an object: clients drop a text. */
const encodeCalls = (reply: Reply): JsonObject[] =>
  callsWithInput(reply).map(({ name, input }) => ({ function: { name, arguments: input } }));

const line = (fields: JsonObject): string => `${JSON.stringify(fields)}\n`;

class OllamaEncoder implements AnswerEncoder {
  readonly streamType = "application/x-ndjson";
  readonly #head: AnswerHead;
  readonly #showsThinking: boolean;

  constructor(showsThinking: boolean, head: AnswerHead) {
    this.#showsThinking = showsThinking;
    this.#head = head;
  }

  whole(answer: Answer, usage: Usage): string {
    // There is one: no answer is without a reply.
    const reply = answer.replies[0] as Reply;
    const { text, refusal = "", reasoning } = reply;
    const calls = encodeCalls(reply);
    return JSON.stringify({
      ...this.#message({
        content: text + refusal,
        ...(reasoning !== "" && this.#showsThinking && { thinking: reasoning }),
        ...(calls.length > 0 && { tool_calls: calls }),
      }),
      ...this.#end(reply, usage),
    });
  }

  open(): string {
    return "";
  }

  event({ parts }: UpstreamEvent): string {
    let lines = "";
    for (const part of parts) {
      if ("choice" in part && part.choice) continue;
      if (part.type === "text-delta" || part.type === "refusal-delta")
        lines += this.#line({ content: part.delta });
      if (part.type === "reasoning-delta" && this.#showsThinking) {
        lines += this.#line({ content: "", thinking: part.delta });
      }
    }
    return lines;
  }

  /** Every line is an object that clients show. */
  comment(): string {
    return "";
  }

  keepAlive(): string {
    return this.#line({ content: "" });
  }

  /** Calls are sent whole, once their arguments are. */
  close({ replies }: Answer, countTokens: () => Usage): string {
    const reply = replies[0] as Reply;
    const calls = encodeCalls(reply);
    const called = calls.length > 0 ? this.#line({ content: "", tool_calls: calls }) : "";
    return called + line({ ...this.#message({ content: "" }), ...this.#end(reply, countTokens()) });
  }

  fail(error: ApiError): string {
    return line({ error: error.message });
  }

  #line(message: JsonObject): string {
    return line({ ...this.#message(message), done: false });
  }

  #message(message: JsonObject): JsonObject {
    const { model, createdAtMs } = this.#head;
    return {
      model,
      created_at: new Date(createdAtMs).toISOString(),
      message: { role: "assistant", ...message },
    };
  }

  #end({ finishReason }: Reply, usage: Usage): JsonObject {
    return {
      done: true,
      done_reason: finishReason === "length" ? "length" : "stop",
      total_duration: 0,
      load_duration: 0,
      prompt_eval_count: usage.promptTokens,
      prompt_eval_duration: 0,
      eval_count: usage.completionTokens,
      eval_duration: 0,
    };
  }
}

/** The version whose API this is. VS Code refuses servers below 0.6.4. */
const apiVersion = "0.12.6";

const family = "kimi";

const details = {
  parent_model: "",
  format: "gguf",
  family,
  families: [family],
  parameter_size: "",
  quantization_level: "",
};

const encodeModel = ({ id, model }: OfferedModel): JsonObject => ({
  name: id,
  model: id,
  modified_at: new Date(model.createdAt * 1000).toISOString(),
  size: 0,
  digest: "",
  details,
});

/** What is said of a model whose room is not known: VS Code would take 33,000 for it. */
const defaultContextTokens = 131_072;

export const showSchema = v.looseObject({ model: v.nullish(v.string()), name: v.nullish(v.string()) });

/**
 * Ollama's `POST /api/chat` with `GET /api/version`, `GET /api/tags` and `POST /api/show`, by which VS Code's Copilot and
 * Open WebUI find a server; nothing else of its API.
 *
 * @example
 * ```ts
 * import { createHandler, ollama, openAiChat } from "kimi-ai-2api";
 *
 * const forVsCode = createHandler({ dialects: [openAiChat, ollama] });
 * ```
 */
export const ollama: Dialect = {
  name: "ollama",
  routes: ({ chat, models, model, read }): Route[] => [
    {
      method: "POST",
      path: "/api/chat",
      isLimited: true,
      handle: (routed) => chat(routed, parse),
    },
    {
      method: "GET",
      path: "/api/version",
      handle: (routed) => routed.json({ version: apiVersion }),
    },
    {
      method: "GET",
      path: "/api/tags",
      handle: async (routed) => routed.json({ models: (await models(routed)).map(encodeModel) }),
    },
    {
      method: "POST",
      path: "/api/show",
      handle: async (routed) => {
        const asked = checkBody(showSchema, (await read(routed)).body);
        const shown = await model(asked.model ?? asked.name ?? "", routed);
        return routed.json({
          details,
          model_info: {
            "general.architecture": family,
            "general.basename": shown.id,
            [`${family}.context_length`]: shown.model.contextTokens ?? defaultContextTokens,
          },
          capabilities: ["completion", "tools"],
          modified_at: new Date(shown.model.createdAt * 1000).toISOString(),
        });
      },
    },
  ],
  encodeError: (error) => ({ body: { error: error.message } }),
};
