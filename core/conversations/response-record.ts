/**
 * How a response is written down: a head, then an item a line, first those of the turns before it, then those of its
 * input, then those of its output. A later response begins with the same lines, which are taken over as they are.
 *
 *     {"v":1,"depth":2,"input":1,"output":1,"response":{…},…}
 *     {"type":"message","role":"user",…}
 *     {"type":"message","role":"assistant",…}
 */
import type { AnswerRecord, JsonObject } from "../types.ts";
import { isRecord, tryParseJson } from "../util/json.ts";
import { utf8Length } from "../util/utf8.ts";

export type Items = readonly JsonObject[];

interface Head {
  readonly v: 1;
  readonly expiresAtMs: number;
  /** How many responses the chain has, this one among them. */
  readonly depth: number;
  /** How many of the last items are this response's own. */
  readonly input: number;
  readonly output: number;
  /** The bytes of all lines but the head, in UTF-8. */
  readonly bytes: number;
  /** As the client got it, without its output. */
  readonly response: JsonObject;
}

export interface ResponseRecord {
  readonly head: Head;
  /** The lines of the items. */
  readonly lines: string;
}

/** That an upstream keeps a response, or an item of one: all that is kept of it here. */
export interface HeldRecord {
  readonly v: 1;
  readonly expiresAtMs: number;
  /** The name of its provider. */
  readonly provider: string;
  /** The model that was asked for. */
  readonly model: string;
}

/** What a response comes after. */
export type Before = Pick<Head, "depth" | "bytes"> & Pick<ResponseRecord, "lines">;

export const nothingBefore: Before = { depth: 0, bytes: 0, lines: "" };

/**
 * A response that follows `before`, as text, and what comes after it then. What came before is not copied here: engines
 * join texts only where they are looked at.
 */
export function encodeResponse(
  before: Before,
  input: Items,
  { response, outputJson }: AnswerRecord,
  expiresAtMs: number,
): { readonly text: string; readonly textBytes: number; readonly after: Before } {
  let newLines = "";
  for (const item of input) newLines += `\n${JSON.stringify(item)}`;
  for (const json of outputJson) newLines += `\n${json}`;
  const bytes = before.bytes + utf8Length(newLines);
  const head: Omit<Head, "response"> = {
    v: 1,
    expiresAtMs,
    depth: before.depth + 1,
    input: input.length,
    output: outputJson.length,
    bytes,
  };
  const headText = `${JSON.stringify(head).slice(0, -1)},"response":${response}}`;
  const lines = before.lines + newLines;
  const after = { depth: head.depth, bytes, lines };
  return { text: headText + lines, textBytes: utf8Length(headText) + bytes, after };
}

const isHead = (value: unknown): value is Head => {
  if (!isRecord(value) || value.v !== 1 || !isRecord(value.response)) return false;
  const { expiresAtMs, depth, input, output, bytes } = value;
  return [expiresAtMs, depth, input, output, bytes].every(Number.isFinite);
};

const isHeld = (value: unknown): value is HeldRecord =>
  isRecord(value) &&
  value.v === 1 &&
  typeof value.provider === "string" &&
  typeof value.model === "string" &&
  Number.isFinite(value.expiresAtMs);

export const encodeHeld = (held: Omit<HeldRecord, "v">): string => JSON.stringify({ v: 1, ...held });

/** Undefined for what can't be read: foreign, damaged or of a newer version. */
export function decodeResponse(text: string): ResponseRecord | HeldRecord | undefined {
  const end = text.indexOf("\n");
  const head = tryParseJson(end < 0 ? text : text.slice(0, end));
  if (isHead(head)) return { head, lines: end < 0 ? "" : text.slice(end) };
  return isHeld(head) ? head : undefined;
}

/** The items of a record's lines; undefined for what can't be read. */
export function decodeItems({ lines }: Pick<ResponseRecord, "lines">): Items | undefined {
  const items = tryParseJson(`[${lines.slice(1).replaceAll("\n", ",")}]`);
  return Array.isArray(items) && items.every(isRecord) ? items : undefined;
}
