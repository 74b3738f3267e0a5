/**
 * Reads events that differ from an earlier one in their text alone, as nearly all events of a stream do, without parsing
 * them: 0.3 µs an event instead of 0.9, and 0.2 instead of 0.5 to write it.
 */
import type { JsonObject, NativeChatEvent, StreamPart, UpstreamEvent } from "../../types.ts";
import { isRecord } from "../../util/json.ts";

const key = '"content":';

/** A JSON string that has no escapes, without its quotes. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON has none in its strings
const plainText = /^[^"\\\u0000-\u001f]+$/;

const isPlain = (value: unknown): boolean => typeof value !== "object" || value === null;

/** Whether nothing in it but `field` has a value of its own, which consumers would have to add up. */
const isPlainBut = (field: string, object: JsonObject): boolean => {
  for (const name in object) if (name !== field && !isPlain(object[name])) return false;
  return true;
};

/** An event of a stream that differs from `like` in its text. It is put together only where it is looked at. */
class TextNative implements NativeChatEvent {
  readonly format = "chat-completions";
  readonly isWhole = false;
  readonly like: JsonObject;
  readonly #text: string;

  constructor(like: JsonObject, text: string) {
    this.like = like;
    this.#text = text;
  }

  get event(): JsonObject {
    const [choice] = this.like.choices as [JsonObject];
    const delta = { ...(choice.delta as JsonObject), content: this.#text };
    return { ...this.like, choices: [{ ...choice, delta }] };
  }
}

/** An event cut at its text. */
export class TextPattern {
  readonly #before: string;
  readonly #after: string;
  readonly #event: JsonObject;
  readonly #choice: number;

  private constructor(before: string, after: string, event: JsonObject, choice: number) {
    this.#before = before;
    this.#after = after;
    this.#event = event;
    this.#choice = choice;
  }

  /** The pattern of an event whose only meaning is a text; undefined for every other event. */
  static of(data: string, event: JsonObject, parts: readonly StreamPart[]): TextPattern | undefined {
    const [part] = parts;
    if (parts.length !== 1 || part?.type !== "text-delta") return undefined;
    const [choice, ...others] = event.choices as unknown[];
    if (others.length > 0 || !isRecord(choice) || !isRecord(choice.delta)) return undefined;
    const { choice: index = 0, delta: text } = part;
    if (choice.index !== index || choice.delta.content !== text) return undefined;
    if (!isPlainBut("delta", choice) || !isPlainBut("", choice.delta)) return undefined;
    const at = data.indexOf(key);
    if (at < 0 || at !== data.lastIndexOf(key)) return undefined;
    const start = data.indexOf('"', at + key.length) + 1;
    const json = JSON.stringify(text).slice(1, -1);
    if (data.slice(at + key.length, start - 1).trim() !== "" || !data.startsWith(`${json}"`, start))
      return undefined;
    return new TextPattern(data.slice(0, start), data.slice(start + json.length), event, index);
  }

  /** The event that `data` is, if it fits. */
  read(data: string): UpstreamEvent | undefined {
    const end = data.length - this.#after.length;
    if (end < this.#before.length || !data.startsWith(this.#before) || !data.endsWith(this.#after)) {
      return undefined;
    }
    const text = readJsonText(data.slice(this.#before.length, end));
    if (text === undefined) return undefined;
    const choice = this.#choice;
    const part: StreamPart =
      choice === 0 ? { type: "text-delta", delta: text } : { type: "text-delta", choice, delta: text };
    return { parts: [part], native: new TextNative(this.#event, text) };
  }
}

/** The text that a JSON string without its quotes stands for; undefined for an empty one, or what is none. */
function readJsonText(json: string): string | undefined {
  if (plainText.test(json)) return json;
  if (!json.includes("\\")) return undefined;
  try {
    return JSON.parse(`"${json}"`);
  } catch {
    return undefined;
  }
}
