/**
 * OpenAI's older Completions: https://platform.openai.com/docs/api-reference/completions
 * A text to go on with becomes a user's message, unless the upstream has the route itself.
 */
import * as v from "valibot";
import { ApiError } from "../errors.ts";
import { encodeSseComment, encodeSseEvent } from "../http/sse.ts";
import type {
  Answer,
  AnswerEncoder,
  AnswerHead,
  ChatPrompt,
  Dialect,
  DialectCall,
  DialectInput,
  FinishReason,
  JsonObject,
  UpstreamEvent,
  Usage,
} from "../types.ts";
import { type ChatBody, readPrompt } from "./shared/chat-completions-prompt.ts";
import { checkBody, range, wholeRange } from "./shared/check-body.ts";

const textSchema = v.string();
const textsSchema = v.pipe(
  v.array(v.string("must be texts: lists of tokens can't be read here")),
  v.length(1, "must be one text: send a request for each"),
);
const stopsSchema = v.pipe(v.array(textSchema), v.maxLength(4, "must hold at most four texts"));

export const requestSchema = v.looseObject({
  model: v.nullish(v.string()),
  prompt: v.lazy((prompt) => (Array.isArray(prompt) ? textsSchema : textSchema)),
  suffix: v.nullish(v.string()),
  echo: v.nullish(v.boolean()),
  stream: v.nullish(v.boolean()),
  stream_options: v.nullish(v.looseObject({ include_usage: v.nullish(v.boolean()) })),
  max_tokens: wholeRange(0, Number.MAX_SAFE_INTEGER),
  n: wholeRange(1, 128),
  best_of: wholeRange(1, 128),
  logprobs: wholeRange(0, 5),
  stop: v.nullish(v.lazy((stop) => (Array.isArray(stop) ? stopsSchema : textSchema))),
  temperature: range(0, 2),
  top_p: range(0, 1),
  presence_penalty: range(-2, 2),
  frequency_penalty: range(-2, 2),
  user: v.nullish(v.string()),
});

type RequestBody = v.InferOutput<typeof requestSchema>;

const refuse = (param: string, message: string): never => {
  throw new ApiError("unsupported_parameter", message, { param });
};

/** A model that chats can't look behind the gap; it can be asked to fill it. */
const withSuffix = (before: string, after: string): string =>
  `Write only the text that belongs between the two passages, without repeating them.\n\nBefore:\n${before}\n\nAfter:\n${after}`;

/** Fields that mean the same in both formats. */
const commonFields = [
  "max_tokens",
  "n",
  "temperature",
  "top_p",
  "presence_penalty",
  "frequency_penalty",
  "seed",
  "logit_bias",
  "user",
] as const;

const chatBody = (request: RequestBody, text: string): ChatBody => {
  const { suffix, stop } = request;
  const fields = commonFields.flatMap((name) => (request[name] == null ? [] : [[name, request[name]]]));
  return {
    messages: [{ role: "user", content: suffix ? withSuffix(text, suffix) : text }],
    ...Object.fromEntries(fields),
    ...(stop != null && { stop }),
    stream: request.stream === true,
  };
};

/** Throws ApiError invalid_request or unsupported_parameter. */
function parse({ body }: DialectInput): DialectCall {
  const request = checkBody(requestSchema, body);
  const { model, stream, echo, logprobs, max_tokens, n, best_of } = request;
  const text = typeof request.prompt === "string" ? request.prompt : (request.prompt[0] as string);
  if (echo && logprobs != null) refuse("logprobs", "The log probabilities of a prompt can't be had here.");
  if (max_tokens === 0)
    refuse("max_tokens", "max_tokens must be at least 1: a prompt alone is not looked at.");
  if (best_of != null && best_of !== (n ?? 1)) refuse("best_of", "best_of must be as large as n.");

  const includeUsage = request.stream_options?.include_usage === true;
  const { echo: _echo, logprobs: _logprobs, best_of: _bestOf, ...completion } = request;
  const prompt: ChatPrompt = {
    ...readPrompt(chatBody(request, text), { usage: stream !== true || includeUsage }),
    completion,
  };
  return {
    prompt,
    memory: { kind: "none" },
    ...(model && { model }),
    encoder: (head) => new CompletionEncoder(prompt, echo ? text : "", head),
  };
}

const encodeReason = (reason: FinishReason | undefined): string =>
  reason === "length" || reason === "content_filter" ? reason : "stop";

const encodeUsage = (usage: Usage): JsonObject => ({
  ...usage.details,
  prompt_tokens: usage.promptTokens,
  completion_tokens: usage.completionTokens,
  total_tokens: usage.totalTokens,
});

class CompletionEncoder implements AnswerEncoder {
  readonly #prompt: ChatPrompt;
  readonly #head: JsonObject;
  /** What each choice begins with. */
  readonly #echo: string;
  readonly #begun = new Set<number>();

  constructor(prompt: ChatPrompt, echo: string, { id, createdAtMs, model }: AnswerHead) {
    this.#prompt = prompt;
    this.#echo = echo;
    this.#head = {
      id: `cmpl-${id}`,
      object: "text_completion",
      created: Math.floor(createdAtMs / 1000),
      model,
    };
  }

  whole({ replies }: Answer, usage: Usage): string {
    const choices = replies.map(({ text, refusal, finishReason }, index) => ({
      text: this.#echo + text + (refusal ?? ""),
      index,
      logprobs: null,
      finish_reason: encodeReason(finishReason),
    }));
    return JSON.stringify({ ...this.#head, choices, usage: encodeUsage(usage) });
  }

  /** Nothing need be said before the first text. */
  open(): string {
    return "";
  }

  event({ parts }: UpstreamEvent): string {
    let events = "";
    for (const part of parts) {
      if (part.type === "text-delta" || part.type === "refusal-delta") {
        events += this.#choice(part.choice ?? 0, part.delta, null);
      } else if (part.type === "finish") {
        events += this.#choice(part.choice ?? 0, "", encodeReason(part.reason));
      }
    }
    return events;
  }

  comment(text: string): string {
    return encodeSseComment(text);
  }

  keepAlive(): string {
    return encodeSseComment("keep-alive");
  }

  close(_answer: Answer, countTokens: () => Usage): string {
    const counts = this.#prompt.usage ? this.#chunk([], { usage: encodeUsage(countTokens()) }) : "";
    return counts + encodeSseEvent("[DONE]");
  }

  fail(error: ApiError): string {
    return encodeSseEvent(JSON.stringify(error.toBody()));
  }

  #choice(index: number, delta: string, reason: string | null): string {
    const text = this.#begun.has(index) ? delta : this.#echo + delta;
    this.#begun.add(index);
    return this.#chunk([{ text, index, logprobs: null, finish_reason: reason }]);
  }

  #chunk(
    choices: readonly JsonObject[],
    fields: JsonObject = this.#prompt.usage ? { usage: null } : {},
  ): string {
    return encodeSseEvent(JSON.stringify({ ...this.#head, choices, ...fields }));
  }
}

/**
 * OpenAI's older Completions, `POST /v1/completions`, for editors that fill in code and for old clients. The text is
 * asked as a user's message; upstreams with `completions: true` get it at their own `/completions`, `suffix` included.
 *
 * @example
 * ```ts
 * import { createHandler, openAiChat, openAiCompletions } from "kimi-ai-2api";
 *
 * const onlyOpenAi = createHandler({ dialects: [openAiChat, openAiCompletions] });
 * ```
 */
export const openAiCompletions: Dialect = {
  name: "openai-completions",
  routes: ({ chat }) => [
    {
      method: "POST",
      path: "/completions",
      isLimited: true,
      handle: (routed) => chat(routed, parse),
    },
  ],
  encodeError: (error) => ({ body: error.toBody() }),
};
