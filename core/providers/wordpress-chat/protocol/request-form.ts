/** What is posted for a message: a preset's templates, read once, filled in for each message. */
import { isRecord, tryParseJson } from "../../../util/json.ts";
import type { Placeholder, RequestBody, SiteProtocol } from "../preset.ts";

/** What the placeholders stand for. */
export interface MessageFields {
  readonly nonce: string;
  readonly message: string;
  /** The model's name at the site. */
  readonly model: string;
  /** "" where the site is to begin a session. */
  readonly session: string;
}

/** One call, ready to be made. */
export interface FormedRequest {
  readonly url: string;
  /** Null for a GET. */
  readonly body: string | null;
}

export interface RequestForm {
  readonly method: "GET" | "POST";
  /** Of the body; "" for a GET. */
  readonly contentType: string;
  /** Address and body for a message. */
  request(fields: MessageFields): FormedRequest;
  /** The headers of a message, by their names in lower case; absent where a preset has none. */
  readonly headers:
    | ((fields: MessageFields) => readonly (readonly [name: string, value: string])[])
    | undefined;
}

type Fill<T> = (fields: MessageFields) => T;

const filledBy = (name: Placeholder, fields: MessageFields): string =>
  name === "messageId" ? crypto.randomUUID() : fields[name];

const isFixed = (template: string): boolean => !/\{[A-Za-z]+\}/.test(template);

/** A text with placeholders as a function; `encode` is for what is put in. */
function fillText(template: string, encode: (value: string) => string = (value) => value): Fill<string> {
  if (isFixed(template)) return () => template;
  // JSON in a field: what is put into it has to be written as JSON has it.
  const inner = tryParseJson(template);
  if (typeof inner === "object" && inner !== null) {
    const fill = fillJson(inner);
    return (fields) => JSON.stringify(fill(fields));
  }
  // Odd ones are the names of placeholders.
  const pieces = template.split(/\{([A-Za-z]+)\}/);
  const [before, name, after] = pieces as [string, Placeholder, string];
  if (pieces.length === 3 && before === "" && after === "") return (fields) => encode(filledBy(name, fields));
  return (fields) =>
    pieces
      .map((piece, index) => (index % 2 === 0 ? piece : encode(filledBy(piece as Placeholder, fields))))
      .join("");
}

function fillJson(template: unknown): Fill<unknown> {
  if (typeof template === "string") return fillText(template);
  if (Array.isArray(template)) {
    const entries = template.map(fillJson);
    return (fields) => entries.map((fill) => fill(fields));
  }
  if (!isRecord(template)) return () => template;
  const entries = Object.entries(template).map(([key, value]) => [key, fillJson(value)] as const);
  return (fields) => Object.fromEntries(entries.map(([key, fill]) => [key, fill(fields)]));
}

function fillForm(template: Readonly<Record<string, string>>): Fill<string> {
  const entries = Object.entries(template).map(([name, value]) => [name, fillText(value)] as const);
  return (fields) => {
    const form: Record<string, string> = {};
    for (const [name, fill] of entries) form[name] = fill(fields);
    return new URLSearchParams(form).toString();
  };
}

/** What a header can hold: a session that the site has named may be anything. */
const sendable = (value: string): string => value.replace(/[^\x21-\x7e]/g, "");

const formType = "application/x-www-form-urlencoded; charset=UTF-8";
const jsonType = "application/json";

/** A body with the nonce among its fields. */
function withNonce(body: RequestBody, field: string | undefined): RequestBody {
  if (field === undefined) return body;
  return body.json === undefined
    ? { form: { ...body.form, [field]: "{nonce}" } }
    : { json: { ...body.json, [field]: "{nonce}" } };
}

/** The body of a call that says nothing of a message. */
export function fixedBody(body: RequestBody | undefined): { readonly text: string; readonly type: string } {
  if (body?.form !== undefined) return { text: new URLSearchParams(body.form).toString(), type: formType };
  return { text: JSON.stringify(body?.json ?? {}), type: jsonType };
}

export function createRequestForm(
  url: string,
  { method, headers, body, nonce }: Pick<SiteProtocol, "method" | "headers" | "body" | "nonce">,
): RequestForm {
  const { form, json } = withNonce(body, nonce?.field);
  const fillUrl = fillText(url, encodeURIComponent);
  const fillBody: Fill<string> =
    form !== undefined
      ? fillForm(form)
      : (
          (fill) => (fields: MessageFields) =>
            JSON.stringify(fill(fields))
        )(fillJson(json));
  const isFixedUrl = isFixed(url);
  const all = { ...headers, ...(nonce?.header !== undefined && { [nonce.header]: "{nonce}" }) };
  const filled = Object.entries(all).map(
    ([name, value]) => [name.toLowerCase(), fillText(value, sendable)] as const,
  );

  return {
    method,
    contentType: method === "GET" ? "" : form === undefined ? jsonType : formType,
    headers:
      filled.length === 0
        ? undefined
        : (fields) => filled.map(([name, fill]) => [name, fill(fields)] as const),
    request(fields) {
      const address = isFixedUrl ? url : fillUrl(fields);
      const text = fillBody(fields);
      if (method === "POST") return { url: address, body: text };
      return { url: address + (address.includes("?") ? "&" : "?") + text, body: null };
    },
  };
}
