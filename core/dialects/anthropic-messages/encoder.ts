/** Answers in the shape of Anthropic's Messages, whole and as events. */
import type { ApiError } from "../../errors.ts";
import { encodeSseComment, encodeSseEvent } from "../../http/sse.ts";
import type {
  Answer,
  AnswerEncoder,
  AnswerHead,
  JsonObject,
  Reply,
  UpstreamEvent,
  Usage,
} from "../../types.ts";
import { estimatePrompt } from "../../util/estimate-prompt.ts";
import { aroundText, isRecord } from "../../util/json.ts";
import { type Block, BlockTracker, type BlockWriter } from "../shared/block-tracker.ts";
import { toSafeToolId } from "../shared/tool-ids.ts";
import { type CallWithInput, callsWithInput } from "../shared/tool-input.ts";
import { encodeError } from "./errors.ts";
import type { MessagesRequest } from "./request.ts";

/** An event's name is its type; Anthropic's SDKs skip events without one. */
const encodeEvent = (type: string, fields: JsonObject): string =>
  encodeSseEvent(JSON.stringify({ type, ...fields }), type);

/** The type of a delta, and the field that has its text. */
const deltaFields = {
  text: ["text_delta", "text"],
  refusal: ["text_delta", "text"],
  reasoning: ["thinking_delta", "thinking"],
  signature: ["signature_delta", "signature"],
  "tool-call": ["input_json_delta", "partial_json"],
} as const;

/** What stands before a delta's text: the same for all of a block, and they are what a stream has most of. */
function deltaStart(index: number, kind: keyof typeof deltaFields): string {
  const [type, field] = deltaFields[kind];
  const place = `"index":${index},"delta":{"type":"${type}","${field}":`;
  return `event: content_block_delta\ndata: {"type":"content_block_delta",${place}`;
}
const deltaEnd = "}}\n\n";

/** Prompt tokens that came from the upstream's cache; vendors have three places for the number. */
function cachedTokens({ cachedTokens: cached, details = {} }: Usage): number {
  const { prompt_tokens_details: prompt, cached_tokens, prompt_cache_hit_tokens } = details;
  const found = [cached, isRecord(prompt) && prompt.cached_tokens, cached_tokens, prompt_cache_hit_tokens];
  return found.find((count) => typeof count === "number") ?? 0;
}

/** Anthropic counts cached tokens apart. */
function encodeUsage(usage: Usage): JsonObject {
  const cached = Math.min(cachedTokens(usage), usage.promptTokens);
  return {
    input_tokens: usage.promptTokens - cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
    output_tokens: usage.completionTokens,
  };
}

/** Why the reply ended, by what happened. */
function encodeStop(reply: Reply, calls: readonly CallWithInput[]): JsonObject {
  const { toolCalls, finishReason, refusal, stopSequence } = reply;
  const stop = (reason: string, sequence: string | null = null) => ({
    stop_reason: reason,
    stop_sequence: sequence,
  });
  if (calls.length < toolCalls.length) return stop("max_tokens");
  if (calls.length > 0) return stop("tool_use");
  if (refusal !== undefined || finishReason === "content_filter") return stop("refusal");
  if (finishReason === "length") return stop("max_tokens");
  return stopSequence === undefined ? stop("end_turn") : stop("stop_sequence", stopSequence);
}

export class MessagesEncoder implements AnswerEncoder {
  readonly #request: MessagesRequest;
  readonly #head: AnswerHead;
  readonly #blocks = new BlockTracker(this.#blockWriter());
  /** The events that are to go out next. */
  #events = "";
  #isOpen = false;
  /** Whether the open block's arguments have had a delta. */
  #hasInput = false;
  /** What stands before each delta of the open block. */
  #deltaStart = "";

  constructor(request: MessagesRequest, head: AnswerHead) {
    this.#request = request;
    this.#head = head;
  }

  whole({ replies }: Answer, usage: Usage): string {
    // There is one: no answer is without a reply.
    const reply = replies[0] as Reply;
    const { reasoning, text, refusal = "" } = reply;
    const calls = callsWithInput(reply);
    const content: JsonObject[] = [];
    if (reasoning !== "" && this.#request.showsThinking) {
      content.push({ type: "thinking", thinking: reasoning, signature: this.#signature });
    }
    for (const said of [text, refusal]) if (said !== "") content.push({ type: "text", text: said });
    for (const { id, ...call } of calls) content.push({ type: "tool_use", id: toSafeToolId(id), ...call });
    return JSON.stringify({
      ...this.#message(content),
      ...encodeStop(reply, calls),
      usage: this.#usage(encodeUsage(usage)),
    });
  }

  /** The first event has the token counts already: clients reckon with them how much room is left. */
  open(): string {
    if (this.#isOpen) return "";
    this.#isOpen = true;
    const promptTokens = estimatePrompt(this.#request.prompt);
    const counts = encodeUsage({ promptTokens, completionTokens: 0, totalTokens: promptTokens });
    const message = {
      ...this.#message([]),
      stop_reason: null,
      stop_sequence: null,
      usage: this.#usage(counts),
    };
    return encodeEvent("message_start", { message }) + this.keepAlive();
  }

  event({ parts }: UpstreamEvent): string {
    this.#events = this.open();
    for (const part of parts) {
      if (part.type === "reasoning-delta" && !this.#request.showsThinking) continue;
      this.#blocks.push(part);
    }
    return this.#events;
  }

  comment(text: string): string {
    return encodeSseComment(text);
  }

  keepAlive(): string {
    return encodeEvent("ping", {});
  }

  close({ replies }: Answer, countTokens: () => Usage): string {
    const reply = replies[0] as Reply;
    const delta = encodeStop(reply, callsWithInput(reply));
    this.#events = this.open();
    this.#blocks.end();
    return (
      this.#events +
      encodeEvent("message_delta", { delta, usage: encodeUsage(countTokens()) }) +
      encodeEvent("message_stop", {})
    );
  }

  fail(error: ApiError): string {
    return encodeSseEvent(JSON.stringify(encodeError(error, this.#head.requestId).body), "error");
  }

  /** Clients send it back with the thought; what it says is of no use to anyone. */
  get #signature(): string {
    return this.#head.id;
  }

  #message(content: readonly JsonObject[]): JsonObject {
    const { id, model } = this.#head;
    return { id: `msg_${id}`, type: "message", role: "assistant", model, content };
  }

  #usage(counts: JsonObject): JsonObject {
    return { ...counts, service_tier: "standard" };
  }

  #blockWriter(): BlockWriter {
    return {
      open: (index, block) => {
        this.#hasInput = false;
        this.#deltaStart = deltaStart(index, block.kind);
        this.#events += encodeEvent("content_block_start", { index, content_block: this.#emptyBlock(block) });
      },
      delta: (_index, _block, delta) => {
        this.#hasInput = true;
        this.#events += aroundText(this.#deltaStart, delta, deltaEnd);
      },
      close: (index, { kind }) => {
        if (kind === "reasoning")
          this.#events += aroundText(deltaStart(index, "signature"), this.#signature, deltaEnd);
        if (kind === "tool-call" && !this.#hasInput)
          this.#events += aroundText(this.#deltaStart, "{}", deltaEnd);
        this.#events += encodeEvent("content_block_stop", { index });
      },
    };
  }

  #emptyBlock(block: Block): JsonObject {
    switch (block.kind) {
      case "tool-call":
        return { type: "tool_use", id: toSafeToolId(block.id), name: block.name, input: {} };
      case "reasoning":
        return { type: "thinking", thinking: "", signature: "" };
      default:
        return { type: "text", text: "" };
    }
  }
}
