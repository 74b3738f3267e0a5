/** Writes answers in the format of Responses. */

import type { ApiError } from "../../errors.ts";
import { encodeSseComment } from "../../http/sse.ts";
import type {
  Answer,
  AnswerEncoder,
  AnswerHead,
  FinishReason,
  JsonObject,
  UpstreamEvent,
  Usage,
} from "../../types.ts";
import { type Block, type BlockStep, BlockTracker } from "../shared/block-tracker.ts";
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

interface EndedResponse {
  readonly status: "completed" | "incomplete";
  readonly json: string;
  readonly events: string;
}

export class ResponsesEncoder implements AnswerEncoder {
  readonly #request: ResponsesRequest;
  readonly #head: AnswerHead;
  readonly #events = new EventWriter();
  readonly #blocks = new BlockTracker();
  readonly #output: OutputItem[] = [];
  /** The item that is open. */
  #opened: OutputItem | undefined;
  /** Its text so far. */
  #text = "";
  #isOpen = false;
  /** The response as it ends, and the events that end its last item; made once. */
  #ended: EndedResponse | undefined;
  /** How much of the silence has been filled with events. */
  #filledMs = 0;
  /** The response that the upstream makes itself, if it does. */
  #passed: PassedResponse | undefined;

  constructor(request: ResponsesRequest, head: AnswerHead) {
    this.#request = request;
    this.#head = head;
  }

  whole(answer: Answer, usage: Usage): string {
    const { native } = answer;
    if (native?.format === "responses") {
      const response = native.isWhole ? native.event : (native.event.response as JsonObject);
      return JSON.stringify(new PassedResponse(this.#head.model).named(response));
    }
    return this.#end(answer, usage).json;
  }

  open(): string {
    return this.#head.mayBeNative ? encodeSseComment("keep-alive") : this.#begin();
  }

  #begin(): string {
    if (this.#isOpen) return "";
    this.#isOpen = true;
    return this.#events.begin(this.#response("in_progress"));
  }

  event({ parts, native }: UpstreamEvent): string {
    this.#filledMs = 0;
    if (native?.format === "responses") {
      this.#passed ??= new PassedResponse(this.#head.model);
      return this.#passed.event(native);
    }
    let events = this.#begin();
    for (const part of parts) for (const step of this.#blocks.push(part)) events += this.#step(step);
    return events;
  }

  comment(text: string): string {
    return encodeSseComment(text);
  }

  keepAlive(silentMs: number): string {
    if (silentMs - this.#filledMs < longSilenceMs) return encodeSseComment("keep-alive");
    this.#filledMs = silentMs;
    // Among an upstream's events it has the number of the one before, as the next is not the gateway's to count.
    if (this.#passed !== undefined) return new EventWriter(this.#passed.sequence).write("keepalive", {});
    if (this.#head.mayBeNative) return encodeSseComment("keep-alive");
    return this.#begin() + this.#events.write("keepalive", {});
  }

  close(answer: Answer, countTokens: () => Usage): string {
    if (this.#passed !== undefined) return "";
    const { status, json, events } = this.#end(answer, countTokens());
    return events + this.#events.response(status, json);
  }

  fail(error: ApiError): string {
    const { message, param, type } = error;
    const code = codeOf(error);
    const passed = this.#passed;
    const events = passed === undefined ? this.#events : new EventWriter(passed.sequence + 1);
    const open = passed === undefined ? this.#begin() : "";
    if (this.#opened !== undefined) this.#fill(this.#opened, "incomplete");
    const reason = { error: { code, message } };
    const failed =
      passed === undefined
        ? this.#response("failed", { output: this.#output, ...reason })
        : { ...passed.unfinished, status: "failed", ...reason };
    return (
      open +
      // OpenAI's server nests it, its schema does not.
      events.write("error", { code, message, param, error: { type, code, message, param } }) +
      events.response("failed", JSON.stringify(failed))
    );
  }

  #response(status: string, fields: JsonObject = {}): JsonObject {
    const { id, model, createdAtMs } = this.#head;
    return {
      id: responseId(id),
      object: "response",
      created_at: Math.floor(createdAtMs / 1000),
      completed_at: null,
      status,
      error: null,
      incomplete_details: null,
      model,
      output: [],
      usage: null,
      ...this.#request.echo,
      ...fields,
    };
  }

  #end(answer: Answer, usage: Usage): EndedResponse {
    if (this.#ended !== undefined) return this.#ended;
    const [reply] = answer.replies;
    let events = "";
    // Of an answer that is no stream nothing has been seen yet.
    if (!this.#isOpen && reply !== undefined) {
      const { parts } = replyEvent(replyMessage(reply), { finishReason: reply.finishReason ?? "stop" });
      this.event({ parts });
    }
    const reason = incompleteReason(reply?.finishReason);
    const status = reason === undefined ? "completed" : "incomplete";
    const steps = this.#blocks.end();
    for (const step of steps) events += this.#step(step, step === steps.at(-1) ? status : "completed");
    if (this.#output.length === 0) events += this.#emptyMessage();
    const response = this.#response(status, {
      completed_at: reason === undefined ? Math.floor(this.#head.clock.now() / 1000) : null,
      incomplete_details: reason === undefined ? null : { reason },
      output: this.#output,
      usage: encodeUsage(usage),
    });
    this.#ended = { status, json: JSON.stringify(response), events };
    return this.#ended;
  }

  #step(step: BlockStep, status: "completed" | "incomplete" = "completed"): string {
    const { index, block } = step;
    if (step.type === "open") return this.#openItem(index, block);
    const item = this.#output[index] as OutputItem;
    if (step.type === "close") return this.#closeItem(index, item, status);
    this.#text += step.delta;
    // A custom tool's text is wrapped in JSON, and known once that is whole.
    return item.type === "custom_tool_call" ? "" : this.#events.delta(index, item, step.delta);
  }

  #openItem(index: number, block: Block): string {
    const item = this.#newItem(index, block);
    this.#text = "";
    this.#opened = item;
    this.#output.push(item);
    return this.#events.opened(index, item);
  }

  #closeItem(index: number, item: OutputItem, status: "completed" | "incomplete"): string {
    this.#fill(item, status);
    this.#opened = undefined;
    const input = item.type === "custom_tool_call" ? item.input : "";
    return (input === "" ? "" : this.#events.delta(index, item, input)) + this.#events.closed(index, item);
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
  #emptyMessage(): string {
    const item = this.#newItem(0, { kind: "text" });
    this.#fill(item, "completed");
    this.#output.push(item);
    return this.#events.whole(0, item);
  }
}
