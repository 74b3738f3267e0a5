/**
 * Blocks of one reply, derived from its parts: one is open at a time, each has its place from 0 on, and a call of a tool
 * is one block however its pieces came. For formats whose answers are such blocks.
 */
import { ApiError } from "../../errors.ts";
import type { StreamPart } from "../../types.ts";
import { isRecord, tryParseJson } from "../../util/json.ts";

export type Block =
  | { readonly kind: "text" | "reasoning" | "refusal" }
  | { readonly kind: "tool-call"; readonly id: string; readonly name: string };

/** Writes blocks, each of which is opened, added to and closed before the next one. */
export interface BlockWriter {
  open(index: number, block: Block): void;
  delta(index: number, block: Block, delta: string): void;
  /** `isLast`: no block comes after it, so that it may be unfinished. */
  close(index: number, block: Block, isLast: boolean): void;
}

type CallDelta = Extract<StreamPart, { readonly type: "tool-call-delta" }>;

/** A call, whose parts may come between those of others. */
interface Call {
  id: string;
  name: string;
  arguments: string;
  /** How much of the arguments is known not to be all. */
  partialChars: number;
  state: "waiting" | "open" | "closed";
}

/** What has to wait until the open call is whole. */
type Waiting = { readonly kind: "text" | "reasoning" | "refusal"; text: string } | Call;

const kindOf = {
  "text-delta": "text",
  "reasoning-delta": "reasoning",
  "refusal-delta": "refusal",
} as const;

/** Whether the JSON text of a call's arguments has come to its end; read once for each text that it has had. */
const isWhole = (call: Call): boolean => {
  const { arguments: json, partialChars } = call;
  if (json.length === partialChars) return false;
  if (json.trimEnd().endsWith("}") && isRecord(tryParseJson(json))) return true;
  call.partialChars = json.length;
  return false;
};

/** Has blocks written of parts; those of other choices than the first, and empty ones, make none. */
export class BlockTracker {
  readonly #writer: BlockWriter;
  readonly #calls: Call[] = [];
  /** In the order of their first parts. */
  readonly #waiting: Waiting[] = [];
  #openBlock: Block | undefined;
  #openCall: Call | undefined;
  #index = -1;

  constructor(writer: BlockWriter) {
    this.#writer = writer;
  }

  /** Has written what a part leads to. Throws ApiError for a call that goes on after its arguments were whole. */
  push(part: StreamPart): void {
    if ("choice" in part && (part.choice ?? 0) !== 0) return;
    switch (part.type) {
      case "text-delta":
      case "reasoning-delta":
      case "refusal-delta":
        if (part.delta !== "") this.#addText(kindOf[part.type], part.delta);
        return;
      case "tool-call-delta":
        this.#addCall(part);
    }
  }

  /** Has written what is left when the reply has ended. */
  end(): void {
    if (this.#waiting.length > 0) {
      this.#close();
      this.#sendWaiting(true);
    }
    this.#close(true);
  }

  #addText(kind: "text" | "reasoning" | "refusal", delta: string): void {
    // As nearly all of a stream is.
    if (this.#openBlock?.kind === kind && this.#waiting.length === 0) {
      this.#writer.delta(this.#index, this.#openBlock, delta);
      return;
    }
    this.#sendWaiting();
    const last = this.#waiting.at(-1);
    if (this.#openCall === undefined && last === undefined) this.#text(kind, delta);
    else if (last !== undefined && "kind" in last && last.kind === kind) last.text += delta;
    else this.#waiting.push({ kind, text: delta });
  }

  #addCall({ index, id, name, delta }: CallDelta): void {
    let call = this.#calls[index];
    const isNew = call === undefined;
    call ??= { id: "", name: "", arguments: "", partialChars: 0, state: "waiting" };
    this.#calls[index] = call;
    call.id ||= id ?? "";
    call.name ||= name ?? "";
    if (call.state === "closed") {
      if (delta.trim() === "") return;
      throw new ApiError(
        "upstream_invalid_response",
        "The upstream went on with a tool call that had ended.",
      );
    }
    call.arguments += delta;
    if (isNew) this.#waiting.push(call);
    if (call.state === "open") this.#delta(delta);
    else this.#sendWaiting();
  }

  /** Sends what waits, as far as the open call lets it; `isOver`: no part comes any more. */
  #sendWaiting(isOver = false): void {
    while (this.#waiting.length > 0) {
      if (this.#openCall !== undefined && !isOver && !isWhole(this.#openCall)) return;
      const next = this.#waiting[0] as Waiting;
      // Without its name a call can't be opened yet.
      if (!("kind" in next) && !isOver && (next.id === "" || next.name === "")) return;
      this.#waiting.shift();
      if ("kind" in next) this.#text(next.kind, next.text);
      else this.#call(next);
    }
  }

  #text(kind: "text" | "reasoning" | "refusal", delta: string): void {
    if (this.#openBlock?.kind !== kind) this.#open({ kind });
    this.#delta(delta);
  }

  #call(call: Call): void {
    const { id, name } = call;
    this.#open({ kind: "tool-call", id, name });
    this.#openCall = call;
    call.state = "open";
    this.#delta(call.arguments);
  }

  #open(block: Block): void {
    this.#close();
    this.#index += 1;
    this.#openBlock = block;
    this.#writer.open(this.#index, block);
  }

  #delta(delta: string): void {
    if (delta !== "") this.#writer.delta(this.#index, this.#openBlock as Block, delta);
  }

  #close(isLast = false): void {
    if (this.#openBlock === undefined) return;
    this.#writer.close(this.#index, this.#openBlock, isLast);
    if (this.#openCall !== undefined) this.#openCall.state = "closed";
    this.#openBlock = undefined;
    this.#openCall = undefined;
  }
}
