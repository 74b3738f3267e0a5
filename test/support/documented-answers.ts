/** What the API's document says of an answer: its status, its content type, its JSON and the events of its stream. */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { createParser } from "eventsource-parser";
import { errorTable } from "../../core/errors.ts";
import { documentedPath, errorsByStatus, openApiDocument } from "../../scripts/pages/openapi.ts";
import type { Operation } from "../../scripts/pages/operation.ts";
import { operations } from "../../scripts/pages/operations.ts";

export interface Asked {
  readonly method: string;
  readonly url: string;
}

export interface Answer {
  readonly status: number;
  /** The Content-Type header. */
  readonly type: string;
  readonly text: string;
  /** Whether `text` is all of it: of an answer that was not read to its end, only whole events are looked at. */
  readonly isWhole: boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: a document is looked into at many depths
const document = openApiDocument() as any;
const ajv = new Ajv2020({ strict: false });
ajv.addSchema(document, "document");

const validators = new Map<string, ValidateFunction>();
const validatorOf = (pointer: readonly (string | number)[]): ValidateFunction => {
  const path = pointer.map((part) =>
    encodeURIComponent(String(part).replaceAll("~", "~0").replaceAll("/", "~1")),
  );
  const $ref = `document#/${path.join("/")}`;
  const known = validators.get($ref) ?? ajv.compile({ $ref });
  validators.set($ref, known);
  return known;
};

const anyError = ["Error", "AnthropicError", "OllamaError"].map((name) => ["components", "schemas", name]);

/** What is wrong with a value by the schema that a pointer into the document names. */
function faultsOf(value: unknown, pointer: readonly (string | number)[]): string[] {
  const validate = validatorOf(pointer);
  if (validate(value)) return [];
  return (validate.errors ?? []).map(
    ({ instancePath, message }) => `${instancePath || "the whole"} ${message}`,
  );
}

/** Such as `^/models/.+$`. */
const patternOf = ({ path }: Operation): RegExp =>
  new RegExp(`^${path.replace(/:\w+\+/g, ".+").replace(/:\w+/g, "[^/]+")}$`);
const patterns = operations.map((operation) => ({ operation, pattern: patternOf(operation) }));

/** As the router sees it: without `/v1`, doubled slashes and the last one. */
const plainPath = (url: string): string => {
  const path = new URL(url).pathname.replace(/\/{2,}/g, "/").replace(/^(\/v1)+(?=\/|$)/, "");
  return path.replace(/\/$/, "") || "/";
};

/** The row of the API's document that a request is for; undefined where there is none. */
export function operationOf({ method, url }: Asked): Operation | undefined {
  const path = plainPath(url);
  const asked = method === "HEAD" ? "GET" : method;
  return patterns.find(({ operation, pattern }) => operation.method === asked && pattern.test(path))
    ?.operation;
}

const jsonOrText = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

function eventsOf(type: string, text: string): unknown[] {
  if (type === "application/x-ndjson") {
    return text
      .slice(0, text.lastIndexOf("\n") + 1)
      .split("\n")
      .filter(Boolean)
      .map(jsonOrText);
  }
  const events: unknown[] = [];
  createParser({ onEvent: ({ data }) => events.push(jsonOrText(data)) }).feed(text);
  return events;
}

/** The faults of a request that no row is for: such are refused, in one of the shapes of failures. */
function faultsOfRefusal({ method }: Asked, { status, text, isWhole }: Answer): string[] {
  if (![401, 403, 404, 405, 503].includes(status)) return ["a status that only documented routes have"];
  if (method === "HEAD" || !isWhole) return [];
  const value = jsonOrText(text);
  const faults = anyError.map((pointer) => faultsOf(value, pointer));
  return faults.some((each) => each.length === 0) ? [] : (faults[0] ?? []);
}

/** Nobody gets the answer to a request that was taken back. */
const nobodys = errorTable.client_closed_request.status;

/** Pages are not part of the API; neither is what browsers ask before they ask. */
export const isBeside = ({ method, url }: Asked): boolean =>
  method === "OPTIONS" || ["/ui", "/docs", "/redoc", "/dashboard", "/openapi.json"].includes(plainPath(url));

/** How an answer differs from what the document says of it; empty where it does not, or is not part of the API. */
export function differences(asked: Asked, answer: Answer): string[] {
  if (isBeside(asked) || answer.status === nobodys) return [];
  const operation = operationOf(asked);
  const faults = operation ? faultsOfAnswer(operation, asked, answer) : faultsOfRefusal(asked, answer);
  const what = `${asked.method} ${plainPath(asked.url)} → ${answer.status} ${answer.type}`;
  return [...new Set(faults)].map((fault) => `${what}: ${fault}`);
}

function faultsOfAnswer(operation: Operation, { method }: Asked, answer: Answer): string[] {
  const { status, text, isWhole } = answer;
  const pointer = ["paths", documentedPath(operation.path), operation.method.toLowerCase(), "responses"];
  const responses = pointer.reduce((part, name) => part[name], document);
  const key = [String(status), `${String(status)[0]}XX`].find((each) => responses[each]);
  if (key === undefined) return ["the status is not documented"];
  const { content } = responses[key];
  if (method === "HEAD") return [];
  if (content === undefined) return text === "" ? [] : ["no body is documented"];
  const [type = ""] = answer.type.split(";");
  if (content[type] === undefined) return ["the content type is not documented"];
  const at = [...pointer, key, "content", type];
  if (content[type]["x-item-schema"]) {
    return eventsOf(type, text).flatMap((event) => [
      ...faultsOf(event, [...at, "x-item-schema"]),
      ...faultsOfCode(operation, event),
    ]);
  }
  if (type !== "application/json" || !isWhole) return [];
  const value = jsonOrText(text);
  return [...faultsOf(value, [...at, "schema"]), ...faultsOfCode(operation, value)];
}

/** A failure's code is one that the document has for the route; an upstream's own only where such are passed on. */
function faultsOfCode(operation: Operation, value: unknown): string[] {
  const code = (value as { error?: { code?: unknown } | null } | null)?.error?.code;
  if (typeof code !== "string" || code === "client_closed_request") return [];
  const codes: readonly string[] = [...errorsByStatus(operation).values()].flat();
  const mayBeUpstreams = operation.errors.includes("upstream_rejected") && !(code in errorTable);
  return codes.includes(code) || mayBeUpstreams ? [] : [`the code ${code} is not documented`];
}
