/** What a site's server-sent events say, by the kind of stream that a preset names. */
import { isRecord, tryParseJson } from "../../../util/json.ts";
import type { StreamForm } from "../preset.ts";
import { failureText, saysSuccess } from "./failure.ts";
import { type Place, placeOf, textAt, valueAt } from "./paths.ts";

/** An event as it came: its name, where it has one, and its data. */
export interface RawEvent {
  readonly event?: string | undefined;
  readonly data: string;
}

/** What an event says; all absent where it says nothing of the reply. */
export interface ReadEvent {
  readonly text?: string;
  /** The failure, in the site's words. */
  readonly failure?: string;
  readonly isEnd?: boolean;
  /** What the event that ends the reply says beside that. */
  readonly last?: string;
  /** The JSON of the event. */
  readonly json?: unknown;
}

export interface EventForm {
  read(event: RawEvent): ReadEvent;
  /** Whether a stream without a word on its end has broken off. */
  readonly hasEnd: boolean;
}

const errorMark = /^\[ERROR\]\s*/i;

/** What many plug-ins say without JSON. */
function readMark(data: string): ReadEvent | undefined {
  if (data.trim() === "[DONE]") return { isEnd: true };
  return errorMark.test(data) ? { failure: data.replace(errorMark, "") } : undefined;
}

/** The words of JSON that says that it is a failure. */
function readFailureOf(json: unknown): string | undefined {
  if (!isRecord(json) || saysSuccess(json) !== false) return undefined;
  return failureText(json.data) || failureText(json);
}

const openAiDelta = ["delta.content", "message.content", "text"].map(placeOf);

function readOpenAi({ data, event }: RawEvent): ReadEvent {
  const mark = readMark(data);
  if (mark !== undefined) return mark;
  const json = tryParseJson(data);
  const failure = readFailureOf(json) ?? (event === "error" ? failureText(json) || data : undefined);
  if (failure !== undefined) return { failure, json };
  const choice = isRecord(json) && Array.isArray(json.choices) ? json.choices[0] : undefined;
  const found = textAt(choice, openAiDelta);
  const reason = isRecord(choice) ? choice.finish_reason : undefined;
  return {
    json,
    ...(found !== undefined && { text: found.text }),
    ...(typeof reason === "string" && reason !== "" && { isEnd: true }),
  };
}

const usualTexts = ["data", "content", "delta", "text", "message", "chunk"];
const usualErrors = ["error"];

type Typed = Exclude<StreamForm, string>;

function typedReader({ type = "type", delta, end = [], error = usualErrors, text = usualTexts }: Typed) {
  const typePlace = placeOf(type);
  const places: readonly Place[] = text.map(placeOf);
  const typeOf = (json: unknown, { event }: RawEvent): string | undefined => {
    const named = valueAt(json, typePlace);
    return typeof named === "string" && typePlace.steps.length > 0 ? named : event;
  };

  return (raw: RawEvent): ReadEvent => {
    const mark = readMark(raw.data);
    if (mark !== undefined) return mark;
    // A piece that is no JSON is a text: so is one such as 7 or "null", where pieces have no more around them.
    const parsed = tryParseJson(raw.data);
    const json = typeof parsed === "object" && parsed !== null ? parsed : raw.data;
    const kind = typeOf(json, raw);
    const found =
      textAt(json, places) ?? (typeof json === "string" && json !== "" ? { text: json } : undefined);
    if (kind !== undefined && error.includes(kind))
      return { json, failure: failureText(json) || found?.text || "" };
    if (kind !== undefined && end.includes(kind))
      return { json, isEnd: true, ...(found !== undefined && { last: found.text }) };
    const failure = readFailureOf(json);
    if (failure !== undefined) return { json, failure };
    if (delta !== undefined && (kind === undefined || !delta.includes(kind))) return { json };
    return { json, ...(found !== undefined && { text: found.text }) };
  };
}

export function createEventForm(stream: StreamForm): EventForm | undefined {
  if (stream === "none") return undefined;
  if (stream === "openai") return { read: readOpenAi, hasEnd: true };
  return { read: typedReader(stream), hasEnd: (stream.end?.length ?? 0) > 0 };
}
