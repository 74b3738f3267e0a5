/** Reads error objects, whose shapes are as many as vendors. */
import type { JsonObject } from "../../types.ts";
import { isRecord, tryParseJson } from "../../util/json.ts";

export interface ErrorFields {
  readonly message: string;
  /** A word; null where the upstream says that there is none. */
  readonly code?: string | null;
  readonly type?: string;
  readonly param?: string;
  /** The HTTP status that the object names. */
  readonly status?: number;
  /** How long to wait before another try, where the object says so. */
  readonly retryAfterMs?: number;
  /** Everything else that it says. */
  readonly more: JsonObject;
}

const isErrorStatus = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 400 && (value as number) <= 599;

const isEmpty = (value: unknown): boolean =>
  value == null ||
  value === "" ||
  value === false ||
  (typeof value === "object" && Object.keys(value).length === 0);

/** The names under which vendors put their words, the most telling first. */
const wordFields = [
  "message",
  "msg",
  "error_msg",
  "error_message",
  "errorMessage",
  "errmsg",
  "status_msg",
  "Message",
  "error_description",
  "faultstring",
  "detail",
  "title",
];
const codeFields = ["code", "error_code", "errorCode", "errcode", "err_code", "status_code", "statusCode"];

const wordsOf = (error: JsonObject): unknown => {
  for (const field of wordFields) if (!isEmpty(error[field])) return error[field];
  return undefined;
};

const codeOf = (error: JsonObject): unknown => {
  for (const field of codeFields) if (error[field] != null) return error[field];
  return undefined;
};

/** Codes by which APIs say that all is well. */
const isSuccess = (code: unknown): boolean =>
  code == null ||
  /^(0+|2\d\d|ok|success|succeeded|true)$/i.test(String(code)) ||
  (typeof code === "number" && code === 20000);

/** The object that has the error's fields, out of its envelopes: Gemini's list, Cloudflare's `errors`, MiniMax's `base_resp`. */
function errorIn(body: JsonObject): JsonObject {
  for (const inner of [body.error, body.errors, body.base_resp, body.detail, body.fault, body.header]) {
    const first = Array.isArray(inner) ? inner[0] : inner;
    if (!isRecord(first)) {
      if (Array.isArray(inner) && inner === body.errors && typeof first === "string")
        return { message: first };
      continue;
    }
    // FastAPI's details are lists of complaints, which say the most as a whole.
    if (Array.isArray(inner) && inner === body.detail) continue;
    if (inner === body.error || wordsOf(first) !== undefined || isRecord(first.error)) {
      return isRecord(first.error) ? errorIn(first) : first;
    }
  }
  return body;
}

/** The reason of the upstream's own upstream, as OpenRouter passes it on: a text, often JSON. */
function rawReason({ metadata }: JsonObject): string {
  const raw = isRecord(metadata) ? metadata.raw : undefined;
  const value = typeof raw === "string" ? (tryParseJson(raw) ?? raw) : raw;
  return readErrorFields(value)?.message ?? (typeof raw === "string" ? raw : "");
}

const saysNothing =
  /^((an? )?(internal |unknown |upstream )?(server )?error|provider returned (an )?error|bad request)?\.?$/i;

/** Google's RetryInfo: `{"@type": "…RetryInfo", "retryDelay": "34s"}`. */
function retryDelayMs({ details }: JsonObject): number | undefined {
  for (const detail of Array.isArray(details) ? details : []) {
    const [, seconds] = /^(\d+(?:\.\d+)?)s$/.exec(isRecord(detail) ? String(detail.retryDelay) : "") ?? [];
    if (seconds !== undefined) return Math.min(Number(seconds), 86_400) * 1000;
  }
  return undefined;
}

/** What an error's body says; undefined for what is none. A text is one, a web page is not. */
export function readErrorFields(body: unknown): ErrorFields | undefined {
  if (typeof body === "string") {
    return body.trim() === "" || body.trimStart().startsWith("<") ? undefined : { message: body, more: {} };
  }
  if (Array.isArray(body)) return readErrorFields(body[0]);
  if (!isRecord(body)) return undefined;
  const error = errorIn(body);
  const words = wordsOf(error) ?? (error === body && !isEmpty(body.error) ? body.error : undefined);
  const own = typeof words === "string" ? words : words === undefined ? "" : JSON.stringify(words);
  const message = saysNothing.test(own.trim()) ? rawReason(error) || own : own;
  if (message === "" && !isRecord(body.error)) return undefined;
  const { message: _message, type, param, code: _code, ...more } = error;
  const code = error.code === null ? null : codeOf(error);
  const status = [error.status, error.http_code, codeOf(error)].map(Number).find(isErrorStatus);
  const retryAfterMs = retryDelayMs(error);
  return {
    message,
    ...((code === null || (typeof code === "string" && !/^\d*$/.test(code))) && { code }),
    ...(typeof type === "string" && type !== "" && { type }),
    ...(typeof param === "string" && { param }),
    ...(status !== undefined && { status }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    more,
  };
}

/** Whether an event or a reply is an error: it says so or, without a choice, names a code and a reason. */
export function isFailure(body: JsonObject): boolean {
  if (!isEmpty(body.error) || body.object === "error" || body.type === "error") return true;
  if (Array.isArray(body.choices) && body.choices.length > 0) return false;
  const { base_resp: base, header } = body;
  if (!isEmpty(body.errors) || !isEmpty(body.fault)) return true;
  // Events of other kinds have details too; an error's type is a URL, if anything (RFC 9457).
  const isTyped = body.object != null || (typeof body.type === "string" && !body.type.includes(":"));
  if (!isEmpty(body.detail) && !isTyped) return true;
  for (const envelope of [base, header, body]) {
    if (isRecord(envelope) && wordsOf(envelope) !== undefined && !isSuccess(codeOf(envelope))) return true;
  }
  return wordsOf(body) !== undefined && (body.success === false || body.status === "error");
}
