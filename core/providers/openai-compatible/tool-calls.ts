/** Which tool call a piece belongs to: vendors number and name them each in their own way. */
import type { JsonObject, StreamPart } from "../../types.ts";
import { isRecord } from "../../util/json.ts";

interface KnownCall {
  /** The upstream's own id and index, which some give to every call and some to none. */
  readonly upstreamId: string;
  readonly upstreamIndex: number | undefined;
  /** Its id, which no other call of the reply has. */
  readonly id: string;
  /** Its place among all calls, which clients read, and among those of functions; undefined for a call of another tool. */
  readonly index: number;
  readonly functionIndex: number | undefined;
  name: string;
  readonly arguments: JsonProgress;
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

const argumentsOf = ({ arguments: value }: JsonObject): string =>
  typeof value === "string" ? value : value == null ? "" : JSON.stringify(value);

const newId = (): string => `call_${crypto.randomUUID().replaceAll("-", "")}`;

/**
 * How far a JSON object has come, read piece by piece: to parse all of it anew with each piece would take time that grows
 * with the square of its length.
 */
class JsonProgress {
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  #hasBegun = false;

  read(piece: string): void {
    for (let at = 0; at < piece.length; at++) this.#readCharacter(piece.charCodeAt(at));
  }

  get isEmpty(): boolean {
    return !this.#hasBegun;
  }

  /** Whether every brace that was opened has been closed. */
  get isComplete(): boolean {
    return this.#hasBegun && this.#depth === 0 && !this.#isInString;
  }

  #readCharacter(code: number): void {
    if (code > 0x20) this.#hasBegun = true;
    if (this.#isInString) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (code === 0x5c) this.#isEscaped = true;
      else if (code === 0x22) this.#isInString = false;
    } else if (code === 0x22) this.#isInString = true;
    else if (code === 0x7b || code === 0x5b) this.#depth++;
    else if (code === 0x7d || code === 0x5d) this.#depth--;
  }
}

/** The tool calls of one reply. */
export class ToolCalls {
  readonly #calls: KnownCall[] = [];
  /** The last call with each of the upstream's indexes and ids, and the ids that are taken: no call is searched for. */
  readonly #byIndex = new Map<number, KnownCall>();
  readonly #byId = new Map<string, KnownCall>();
  readonly #ids = new Set<string>();
  #functions = 0;

  get length(): number {
    return this.#calls.length;
  }

  /**
   * Reads a list of calls, of a whole reply or of a stream's delta: adds what they mean to `parts`, and returns them as
   * clients need them, each with its index, those that begin with an id of their own, arguments as text.
   */
  read(list: readonly unknown[], isWhole: boolean, choice: number, parts: StreamPart[]): readonly unknown[] {
    let mended: unknown[] | undefined;
    for (const [position, call] of list.entries()) {
      if (!isRecord(call)) continue;
      const read = this.#readCall(call, isWhole, choice, parts);
      if (read === call) continue;
      mended ??= [...list];
      mended[position] = read;
    }
    return mended ?? list;
  }

  #readCall(call: JsonObject, isWhole: boolean, choice: number, parts: StreamPart[]): JsonObject {
    const isFunction =
      isRecord(call.function) || (/^(function)?$/.test(textOf(call.type)) && !isRecord(call.custom));
    const called = isRecord(call.function) ? call.function : {};
    const name = textOf(called.name);
    const delta = argumentsOf(called);
    const known = isWhole ? undefined : this.#find(call, name, delta);
    const { index, id, functionIndex } = known ?? this.#begin(call, name, isFunction);
    if (functionIndex !== undefined) {
      const { id: _id, index: _index, type: _type, function: _function, ...fields } = call;
      const isNamed = known === undefined || (known.name === "" && name !== "");
      const hasFields = Object.keys(fields).length > 0;
      if (isNamed || delta !== "" || hasFields) {
        parts.push({
          type: "tool-call-delta",
          ...(choice > 0 && { choice }),
          index: functionIndex,
          ...(known === undefined && { id }),
          ...(isNamed && { name }),
          delta,
          ...(hasFields && { fields }),
        });
      }
      if (known !== undefined) {
        known.name ||= name;
        known.arguments.read(delta);
      } else this.#calls.at(-1)?.arguments.read(delta);
    }
    return mendCall(call, { index, id, isFirst: known === undefined, isWhole, isFunction, delta });
  }

  /** The call that a piece of a stream continues; undefined where it begins one. */
  #find(call: JsonObject, name: string, delta: string): KnownCall | undefined {
    const id = textOf(call.id);
    const known = this.#candidate(call.index, id, name);
    if (known === undefined || name === "") return known;
    // A name begins a call, unless it is only repeated.
    const isSameId = id !== "" && id === known.upstreamId;
    const isOtherId = id !== "" && known.upstreamId !== "" && !isSameId;
    const isOtherName = known.name !== "" && name !== known.name;
    if (known.arguments.isEmpty) return isOtherId || (isOtherName && !isSameId) ? undefined : known;
    if (!known.arguments.isComplete) return isOtherId && isOtherName ? undefined : known;
    return isSameId && delta === "" ? known : undefined;
  }

  /** The last call with this index; where there is none, the last one with this id, or of all. */
  #candidate(index: unknown, id: string, name: string): KnownCall | undefined {
    if (typeof index === "number") return this.#byIndex.get(index);
    const sameId = this.#byId.get(id);
    return sameId ?? (id === "" || name === "" ? this.#calls.at(-1) : undefined);
  }

  #begin(call: JsonObject, name: string, isFunction: boolean): KnownCall {
    const upstreamId = textOf(call.id);
    const isFree = upstreamId !== "" && !this.#ids.has(upstreamId);
    const begun: KnownCall = {
      upstreamId,
      upstreamIndex: typeof call.index === "number" ? call.index : undefined,
      id: isFree ? upstreamId : newId(),
      index: this.#calls.length,
      functionIndex: isFunction ? this.#functions++ : undefined,
      name,
      arguments: new JsonProgress(),
    };
    this.#calls.push(begun);
    this.#ids.add(begun.id);
    if (begun.upstreamIndex !== undefined) this.#byIndex.set(begun.upstreamIndex, begun);
    if (upstreamId !== "") this.#byId.set(upstreamId, begun);
    return begun;
  }
}

interface Reading {
  readonly index: number;
  readonly id: string;
  readonly isFirst: boolean;
  readonly isWhole: boolean;
  readonly isFunction: boolean;
  readonly delta: string;
}

/** The call as it was where it needs nothing; one that continues another has an id only where the upstream gave one. */
function mendCall(call: JsonObject, { index, id, isFirst, isWhole, isFunction, delta }: Reading): JsonObject {
  const mends: Record<string, unknown> = {};
  if (isWhole ? call.index !== undefined && call.index !== index : call.index !== index) mends.index = index;
  if (call.id !== id && (isFirst || textOf(call.id) !== "")) mends.id = id;
  if (isFunction) {
    if (isFirst && textOf(call.type) === "") mends.type = "function";
    const called = isRecord(call.function) ? call.function : {};
    const needsName = isFirst && typeof called.name !== "string";
    const needsText = typeof called.arguments !== "string" && (isFirst || "arguments" in called);
    if (needsName || needsText)
      mends.function = { ...called, ...(needsName && { name: "" }), ...(needsText && { arguments: delta }) };
  }
  return Object.keys(mends).length === 0 ? call : { ...call, ...mends };
}
