/** Writes answers in the format of Responses. */

import type { ApiError } from "../../errors.ts";
import { encodeSseComment } from "../../http/sse.ts";
import type {
  Answer,
  AnswerEncoder,
  AnswerHead,
  AnswerRecord,
  FinishReason,
  JsonObject,
  UpstreamEvent,
  Usage,
} from "../../types.ts";
import { type Block, BlockTracker, type BlockWriter } from "../shared/block-tracker.ts";
import { replyEvent, replyMessage } from "../shared/chat-completions-message.ts";
import { outputItemId, responseId } from "../shared/response-ids.ts";
import { EventWriter, type OutputItem, type OutputPart } from "./events.ts";
import { PassedResponse } from "./passed-response.ts";
import type { ResponsesRequest } from "./request.ts";
import { customInput } from "./tools.ts";

const encodeUsage = (usage: Usage) => ({
  input_tokens: usage.promptTokens,
  input_tokens_details: { cached_tokens: usage.cachedTokens ?? 0, cache_write_tokens: 0 },
  output_tokens: usage.completionTokens,
  output_tokens_details: { reasoning_tokens: usage.reasoningTokens ?? 0 },
  total_tokens: usage.promptTokens + usage.completionTokens,
});

/** Why an answer is not whole; undefined for one that is. */
const incompleteReason = (reason: FinishReason | undefined): string | undefined => {
  if (reason === "length") return "max_output_tokens";
  return reason === "content_filter" ? reason : undefined;
};

/** Codes by which clients know what to do; others say what they are to people alone. */
const errorCodes: Readonly<Record<string, string>> = {
  upstream_rate_limited: "rate_limit_exceeded",
  overloaded: "server_is_overloaded",
};

const codeOf = ({ code, wireCode }: ApiError): string => errorCodes[code] ?? wireCode ?? code;

/** After so long a silence, in milliseconds, Codex gives up unless there was an event: a comment is none to it. */
const longSilenceMs = 60_000;

const base64 = (text: string): string => {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
};

/** What changes of a response while it is made. */
interface ResponseState {
  readonly status: "in_progress" | "completed" | "incomplete" | "failed";
  readonly completedAtMs?: number;
  readonly error?: { readonly code: string; readonly message: string };
  readonly incompleteReason?: string | undefined;
  readonly usage?: Usage;
}

/** The response as it ends, and the events that end its last item. */
interface EndedResponse {
  readonly status: "completed" | "incomplete";
  /** All fields as JSON, but the output and those that stay. */
  readonly json: string;
  readonly events: string;
}

export class ResponsesEncoder implements AnswerEncoder {
  readonly #request: ResponsesRequest;
  readonly #head: AnswerHead;
  /** The fields of the response that stay the same, as JSON, without the opening brace. */
  readonly #constant: string;
  readonly #events = new EventWriter();
  readonly #blocks = new BlockTracker(this.#blockWriter());
  /** The events that are to go out next. */
  #next = "";
  readonly #output: OutputItem[] = [];
  /** The items that are closed, as JSON: they go out more than once, and are kept. */
  readonly #outputJson: string[] = [];
  /** The item that is open. */
  #opened: OutputItem | undefined;
  /** Its text so far. */
  #text = "";
  /** The status of the reply's last item. */
  #lastStatus: "completed" | "incomplete" = "completed";
  #isOpen = false;
  /** Made once. */
  #ended: EndedResponse | undefined;
  /** How much of the silence has been filled with events. */
  #filledMs = 0;
  /** The response that the upstream makes itself, if it does. */
  #passed: PassedResponse | undefined;

  constructor(request: ResponsesRequest, head: AnswerHead) {
    this.#request = request;
    this.#head = head;
    this.#constant = JSON.stringify({ model: head.model, ...request.echo }).slice(1);
  }

  whole(answer: Answer, usage: Usage): string {
    const { native } = answer;
    if (native?.format === "responses") {
      const response = native.isWhole ? native.event : (native.event.response as JsonObject);
      return JSON.stringify(new PassedResponse(this.#head.model).named(response));
    }
    return this.#withOutput(this.#end(answer, usage).json);
  }

  record(answer: Answer, usage: Usage): AnswerRecord {
    const { json } = this.#end(answer, usage);
    return { response: `${json},${this.#constant}`, output: this.#output, outputJson: this.#outputJson };
  }

  open(): string {
    return this.#head.mayBeNative ? encodeSseComment("keep-alive") : this.#begin();
  }

  #begin(): string {
    if (this.#isOpen) return "";
    this.#isOpen = true;
    return this.#events.begin(this.#withOutput(this.#response({ status: "in_progress" })));
  }

  event({ parts, native }: UpstreamEvent): string {
    this.#filledMs = 0;
    if (native?.format === "responses") {
      this.#passed ??= new PassedResponse(this.#head.model);
      return this.#passed.event(native);
    }
    this.#next = this.#begin();
    for (const part of parts) this.#blocks.push(part);
    return this.#next;
  }

  comment(text: string): string {
    return encodeSseComment(text);
  }

  keepAlive(silentMs: number): string {
    if (silentMs - this.#filledMs < longSilenceMs) return encodeSseComment("keep-alive");
    this.#filledMs = silentMs;
    // Among an upstream's events it has the number of the one before, as the next is not the gateway's to count.
    if (this.#passed !== undefined) return new EventWriter(this.#passed.sequence).write("keepalive", {});
    if (this.#head.mayBeNative && !this.#isOpen) return encodeSseComment("keep-alive");
    return this.#begin() + this.#events.write("keepalive", {});
  }

  close(answer: Answer, countTokens: () => Usage): string {
    if (this.#passed !== undefined) return "";
    const { status, json, events } = this.#end(answer, countTokens());
    return events + this.#events.response(status, this.#withOutput(json));
  }

  fail(error: ApiError): string {
    const { message, param, type } = error;
    const code = codeOf(error);
    const passed = this.#passed;
    const events = passed === undefined ? this.#events : new EventWriter(passed.sequence + 1);
    const open = passed === undefined ? this.#begin() : "";
    const failed =
      passed === undefined
        ? this.#failed({ code, message })
        : JSON.stringify({ ...passed.unfinished, status: "failed", error: { code, message } });
    return (
      open +
      // OpenAI's server nests it, its schema does not.
      events.write("error", { code, message, param, error: { type, code, message, param } }) +
      events.response("failed", failed)
    );
  }

  #failed(error: { readonly code: string; readonly message: string }): string {
    if (this.#opened !== undefined) this.#finishItem(this.#opened, "incomplete");
    return this.#withOutput(this.#response({ status: "failed", error }));
  }

  /** The whole response, of the JSON of the fields that change. */
  #withOutput(json: string): string {
    return `${json},"output":[${this.#outputJson.join(",")}],${this.#constant}`;
  }

  /** The JSON of the fields that change, without the closing brace. */
  #response({ status, completedAtMs, error, incompleteReason, usage }: ResponseState): string {
    const { id, createdAtMs } = this.#head;
    return JSON.stringify({
      id: responseId(id),
      object: "response",
      created_at: Math.floor(createdAtMs / 1000),
      completed_at: completedAtMs === undefined ? null : Math.floor(completedAtMs / 1000),
      status,
      error: error ?? null,
      incomplete_details: incompleteReason === undefined ? null : { reason: incompleteReason },
      usage: usage === undefined ? null : encodeUsage(usage),
    }).slice(0, -1);
  }

  #end(answer: Answer, usage: Usage): EndedResponse {
    if (this.#ended !== undefined) return this.#ended;
    const [reply] = answer.replies;
    // Of an answer that is no stream nothing has been seen yet.
    if (!this.#isOpen && reply !== undefined) {
      const { parts } = replyEvent(replyMessage(reply), { finishReason: reply.finishReason ?? "stop" });
      this.event({ parts });
    }
    const reason = incompleteReason(reply?.finishReason);
    const status = reason === undefined ? "completed" : "incomplete";
    this.#lastStatus = status;
    this.#next = "";
    this.#blocks.end();
    if (this.#output.length === 0) this.#addEmptyMessage();
    const json = this.#response({
      status,
      usage,
      incompleteReason: reason,
      ...(status === "completed" && { completedAtMs: this.#head.clock.now() }),
    });
    this.#ended = { status, json, events: this.#next };
    return this.#ended;
  }

  #blockWriter(): BlockWriter {
    return {
      open: (index, block) => {
        const item = this.#newItem(index, block);
        this.#text = "";
        this.#opened = item;
        this.#output.push(item);
        this.#next += this.#events.opened(index, item);
      },
      delta: (index, _block, delta) => {
        const item = this.#opened as OutputItem;
        this.#text += delta;
        // A custom tool's text is wrapped in JSON, and known once that is whole.
        if (item.type !== "custom_tool_call") this.#next += this.#events.delta(index, item, delta);
      },
      close: (index, _block, isLast) => {
        const item = this.#opened as OutputItem;
        const json = this.#finishItem(item, isLast ? this.#lastStatus : "completed");
        if (item.type === "custom_tool_call" && item.input !== "")
          this.#next += this.#events.delta(index, item, item.input);
        this.#next += this.#events.closed(index, item, json);
      },
    };
  }

  #newItem(index: number, block: Block): OutputItem {
    const id = (prefix: string) => outputItemId(prefix, this.#head.id, index);
    if (block.kind === "reasoning") return { type: "reasoning", id: id("rs"), summary: [] };
    if (block.kind !== "tool-call") {
      const part: OutputPart =
        block.kind === "text"
          ? { type: "output_text", text: "", annotations: [], logprobs: [] }
          : { type: "refusal", refusal: "" };
      return { type: "message", id: id("msg"), status: "in_progress", role: "assistant", content: [part] };
    }
    const { kind, ...origin } = this.#request.tools.origin(block.name);
    const call = { call_id: block.id, ...origin, status: "in_progress" as const };
    return kind === "custom"
      ? { type: "custom_tool_call", id: id("ctc"), ...call, input: "" }
      : { type: "function_call", id: id("fc"), ...call, arguments: "" };
  }

  /** Nothing more comes of the item; returns it as JSON. */
  #finishItem(item: OutputItem, status: "completed" | "incomplete"): string {
    this.#fill(item, status);
    this.#opened = undefined;
    const json = JSON.stringify(item);
    this.#outputJson.push(json);
    return json;
  }

  /** Writes the text that has come into the item. */
  #fill(item: OutputItem, status: "completed" | "incomplete"): void {
    const text = this.#text;
    switch (item.type) {
      case "message": {
        const [part] = item.content;
        if (part?.type === "output_text") part.text = text;
        if (part?.type === "refusal") part.refusal = text;
        item.status = status;
        return;
      }
      case "reasoning":
        item.summary.push({ type: "summary_text", text });
        if (this.#request.wantsEncryptedReasoning) item.encrypted_content = base64(text);
        return;
      case "function_call":
        item.arguments = text;
        item.status = status;
        return;
      case "custom_tool_call":
        item.input = customInput(text);
        item.status = status;
    }
  }

  /** What an answer without anything in it is. */
  #addEmptyMessage(): void {
    const item = this.#newItem(0, { kind: "text" });
    this.#output.push(item);
    this.#finishItem(item, "completed");
    this.#next += this.#events.whole(0, item);
  }
}
