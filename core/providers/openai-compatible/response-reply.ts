/** What an upstream answers that speaks Responses itself, whole or event by event: passed on, and read for what it means. */
import type { FinishReason, JsonObject, StreamPart, UpstreamEvent, Usage } from "../../types.ts";
import { isRecord } from "../../util/json.ts";
import { isFailure, readErrorFields } from "./error-fields.ts";
import { type AnswerReader, ReplyBody, type ReplyReaderOptions } from "./reply-body.ts";

const count = (value: unknown): number => (typeof value === "number" && value > 0 ? value : 0);
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const recordsOf = (value: unknown): readonly JsonObject[] =>
  Array.isArray(value) ? value.filter(isRecord) : [];

function readUsage(usage: JsonObject): Usage {
  const promptTokens = count(usage.input_tokens);
  const completionTokens = count(usage.output_tokens);
  const { input_tokens_details: input, output_tokens_details: output } = usage;
  return {
    promptTokens,
    completionTokens,
    totalTokens: count(usage.total_tokens) || promptTokens + completionTokens,
    ...(isRecord(input) && { cachedTokens: count(input.cached_tokens) }),
    ...(isRecord(output) && { reasoningTokens: count(output.reasoning_tokens) }),
  };
}

const textParts = {
  "response.output_text.delta": "text-delta",
  "response.refusal.delta": "refusal-delta",
  "response.reasoning_summary_text.delta": "reasoning-delta",
  "response.reasoning_text.delta": "reasoning-delta",
} as const;

const isCall = ({ type }: JsonObject): boolean => type === "function_call" || type === "custom_tool_call";

/** The statuses of a response that ends a stream. */
const lastEvents: ReadonlySet<unknown> = new Set(["response.completed", "response.incomplete"]);

/** Reads one reply. */
export class ResponseReader implements AnswerReader {
  readonly #events: UpstreamEvent[];
  readonly #options: ReplyReaderOptions;
  readonly #body: ReplyBody;
  /** The places of calls among the output's items, in order: a part's `index` is the place among the calls. */
  readonly #calls: unknown[] = [];
  #chunks = 0;
  #isOver = false;

  constructor(events: UpstreamEvent[], options: ReplyReaderOptions) {
    this.#events = events;
    this.#options = options;
    this.#body = new ReplyBody(options, (data, type) => this.#readEvent(data, type));
  }

  get done(): boolean {
    return this.#isOver;
  }

  get complete(): boolean {
    return this.#isOver;
  }

  get choices(): number {
    return 1;
  }

  get chunks(): number {
    return this.#chunks;
  }

  feed(text: string): void {
    this.#body.feed(text);
  }

  end(): void {
    const body = this.#body.end();
    if (body !== undefined) this.#readWhole(body);
    else if (!this.#isOver) throw this.#body.unfinished();
  }

  #readEvent(data: string, name: string | undefined): void {
    // Some mark the end as Chat Completions does.
    if (this.#isOver || data === "[DONE]") return;
    const parsed = this.#body.parseEvent(data);
    if (!isRecord(parsed)) return;
    const type = parsed.type ?? name;
    if (type === "error" || (type === undefined && isFailure(parsed))) throw this.#failure(parsed);
    if (type === "response.failed") throw this.#failure(parsed.response);
    const event = type === parsed.type ? parsed : { type, ...parsed };
    // JSON may have line breaks between its tokens.
    const json = event === parsed && !data.includes("\n") ? data : JSON.stringify(event);
    this.#chunks++;
    this.#isOver = lastEvents.has(type);
    this.#push(this.#partsOf(event), { isWhole: false, event, json });
  }

  #readWhole(body: unknown): void {
    if (!isRecord(body) || !Array.isArray(body.output)) {
      if (readErrorFields(body) !== undefined) throw this.#options.failure(body);
      throw this.#body.invalid("sent JSON that is no response");
    }
    if (body.status === "failed") throw this.#failure(body);
    const parts: StreamPart[] = [];
    for (const item of body.output.filter(isRecord)) this.#addItem(item, parts);
    this.#addEnd(body, parts);
    this.#isOver = true;
    this.#push(parts, { isWhole: true, event: body, json: JSON.stringify(body) });
  }

  #push(
    parts: readonly StreamPart[],
    native: { readonly isWhole: boolean; readonly event: JsonObject; readonly json: string },
  ): void {
    this.#events.push({ parts, native: { format: "responses", provider: this.#options.name, ...native } });
  }

  /** Of an `error` event, whose fields may be in an object of their own, or of a failed response. */
  #failure(source: unknown) {
    const { error, code, message, param } = isRecord(source) ? source : ({} as JsonObject);
    return this.#options.failure({ error: isRecord(error) ? error : { code, message, param } });
  }

  #partsOf(event: JsonObject): readonly StreamPart[] {
    const parts: StreamPart[] = [];
    const { type, delta, item, output_index: place } = event;
    const textType = textParts[type as keyof typeof textParts];
    if (textType !== undefined) {
      if (textOf(delta) !== "") parts.push({ type: textType, delta: textOf(delta) });
    } else if (type === "response.output_item.added") {
      if (isRecord(item) && isCall(item)) this.#addCall(item, place, "", parts);
    } else if (
      type === "response.function_call_arguments.delta" ||
      type === "response.custom_tool_call_input.delta"
    ) {
      const index = this.#calls.indexOf(place);
      if (index >= 0) parts.push({ type: "tool-call-delta", index, delta: textOf(delta) });
    } else if (lastEvents.has(type) && isRecord(event.response)) this.#addEnd(event.response, parts);
    return parts;
  }

  #addCall(item: JsonObject, place: unknown, delta: string, parts: StreamPart[]): void {
    const index = this.#calls.push(place) - 1;
    parts.push({
      type: "tool-call-delta",
      index,
      id: textOf(item.call_id),
      name: textOf(item.name),
      delta,
    });
  }

  #addItem(item: JsonObject, parts: StreamPart[]): void {
    if (isCall(item)) this.#addCall(item, undefined, textOf(item.arguments ?? item.input), parts);
    for (const { type, text, refusal } of recordsOf(item.content)) {
      if (type === "output_text" && textOf(text) !== "")
        parts.push({ type: "text-delta", delta: textOf(text) });
      if (type === "refusal") parts.push({ type: "refusal-delta", delta: textOf(refusal) });
    }
    for (const { text } of recordsOf(item.summary))
      if (textOf(text) !== "") parts.push({ type: "reasoning-delta", delta: textOf(text) });
  }

  #addEnd({ status, incomplete_details: details, usage }: JsonObject, parts: StreamPart[]): void {
    parts.push({ type: "finish", reason: this.#finishReason(status, details) });
    if (isRecord(usage)) parts.push({ type: "usage", usage: readUsage(usage) });
  }

  #finishReason(status: unknown, details: unknown): FinishReason {
    if (status === "incomplete")
      return isRecord(details) && details.reason === "content_filter" ? "content_filter" : "length";
    return this.#calls.length > 0 ? "tool_calls" : "stop";
  }
}
