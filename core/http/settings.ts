/** The settings of what stands between a client and the chat: keys, cross-origin rules, limits, the welcome page. */
import * as v from "valibot";
import { entryProblem } from "../config/entry-problem.ts";
import {
  custom,
  integer,
  isQuoted,
  keptQuotes,
  onOff,
  parsedJson,
  text,
  type Values,
} from "../config/values.ts";
import { version } from "../config/version.ts";
import type { KeyLimits } from "../types.ts";
import { isRecord } from "../util/json.ts";

export interface NamedKey {
  /** The holder's name, for the log. */
  readonly name: string;
  readonly key: string;
  /** What it may not do; absent for a key that may do everything. */
  readonly limits?: KeyLimits;
}

/**
 * Who may call the API: holders of a key; everyone; everyone on this machine, from loopback addresses and pages only;
 * no caller until a key is set.
 */
export type Access = "keys" | "open" | "loopback" | "unconfigured";

export interface HttpSettings {
  /** What `GET /` says of the server. */
  readonly app: { readonly name: string; readonly version: string; readonly description: string };
  readonly access: Access;
  readonly apiKeys: readonly NamedKey[];
  /** Origins whose pages may read answers; "*" means all, undefined that nothing was set. */
  readonly corsOrigins: "*" | readonly string[] | undefined;
  /** By default as much as the providers have a use for. */
  readonly maxBodyBytes: number | undefined;
  /** The most that the bodies of all requests under way may have together. */
  readonly maxBodiesBytes: number;
  /** Whether the pages for people are served. */
  readonly pages: boolean;
  /** Requests a minute and API key; 0 for no limit. */
  readonly requestsPerMinute: number;
  /** Whether limits are counted in the store, for all instances together. */
  readonly sharesLimits: boolean;
}

const visibleAscii = /^[\x21-\x7e]+$/;

const readMasterKey = (value: string): readonly string[] | "open" => {
  if (value === "") return [];
  if (value.trim() === "1") return "open";
  const keys = value.split(",").map((key) => key.trim());
  if (keys.includes("")) throw new Error("has an empty entry in its comma list");
  if (keys.includes("1"))
    throw new Error('has "1" in a list: alone it opens the API, in a list it is a mistake');
  if (keys.some(isQuoted)) throw new Error(keptQuotes("a key"));
  if (!keys.every((key) => visibleAscii.test(key)))
    throw new Error("must hold visible ASCII characters only");
  return keys;
};

const wholeNumber = (min: number, max: number, unit: string) => {
  const allowed = `must be a whole number from ${min} to ${max} (${unit})`;
  return v.pipe(v.number(allowed), v.integer(allowed), v.minValue(min, allowed), v.maxValue(max, allowed));
};

const dateForm = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/;
const dateAllowed = "must be a date, or a time with its zone, such as 2027-01-01T00:00:00Z";
const modelsAllowed = "must be a list of models' names, at least one";

/** A key of API_KEYS that may not do everything. */
const limitedKeySchema = v.strictObject({
  key: v.string("must be the key, a text"),
  rpm: v.optional(wholeNumber(0, 1_000_000, "requests a minute; 0 for no limit")),
  tokensPerDay: v.optional(wholeNumber(1, 1_000_000_000_000, "tokens in 24 hours")),
  models: v.optional(
    v.pipe(
      v.array(v.pipe(v.string(modelsAllowed), v.trim(), v.nonEmpty(modelsAllowed)), modelsAllowed),
      v.nonEmpty(modelsAllowed),
    ),
  ),
  expiresAt: v.optional(
    v.pipe(
      v.string(dateAllowed),
      v.regex(dateForm, dateAllowed),
      v.transform((time) => Date.parse(time)),
      v.check((ms) => !Number.isNaN(ms), dateAllowed),
    ),
  ),
});

const keyFields = Object.keys(limitedKeySchema.entries);

/** Throws an Error that names the holder and the field, and shows no value. */
const readLimitedKey = (name: string, given: unknown): NamedKey => {
  const result = v.safeParse(limitedKeySchema, given);
  if (result.success) {
    const { key, expiresAt: expiresAtMs, ...rest } = result.output;
    const limits = { ...rest, ...(expiresAtMs !== undefined && { expiresAtMs }) };
    return { name, key, ...(Object.keys(limits).length > 0 && { limits }) };
  }
  const [issue] = result.issues;
  const isMissing = issue.type === "strict_object" && issue.expected !== "never";
  throw new Error(
    `${name}.${isMissing ? "key is missing" : entryProblem(issue, { what: "a key", fields: keyFields })}`,
  );
};

const readNamedKeys = (value: string): readonly NamedKey[] => {
  const keys = parsedJson(value);
  if (!isRecord(keys) || !Object.values(keys).every((given) => typeof given === "string" || isRecord(given)))
    throw new Error(
      'must be a JSON object of named keys, such as {"alice":"sk-…","bob":{"key":"sk-…","rpm":60}}',
    );
  return Object.entries(keys).map(([name, given]) => {
    const named = typeof given === "string" ? { name, key: given } : readLimitedKey(name, given);
    const { key } = named;
    if (name.trim() === "" || key === "" || key === "1")
      throw new Error('has an empty name, or an empty key or "1" as a key');
    if (isQuoted(key)) throw new Error(keptQuotes("a key"));
    if (!visibleAscii.test(key)) throw new Error("must hold keys of visible ASCII characters only");
    return named;
  });
};

const readOrigins = (value: string): "*" | readonly string[] | undefined => {
  if (value === "") return undefined;
  const origins = value.split(",").map((origin) => origin.trim());
  if (origins.includes("*")) return "*";
  // An Origin header has no path; app:// and the like have no origin that URL knows, so their form is all there is to check.
  if (!origins.every((origin) => /^[a-z][a-z0-9+.-]*:\/\/[^/\s]+$/i.test(origin))) {
    throw new Error("must be `*` or a comma list of origins such as https://chat.example.com");
  }
  return origins.map((origin) => origin.toLowerCase());
};

export const httpEntries = {
  APP_NAME: text("kimi-ai-2api"),
  APP_VERSION: text(version),
  DESCRIPTION: text("An OpenAI-compatible API for the chat on kimi-ai.chat"),
  API_MASTER_KEY: custom("", readMasterKey),
  API_KEYS: custom("{}", readNamedKeys),
  CORS_ORIGIN: custom("", readOrigins),
  MAX_BODY_BYTES: v.optional(integer(0, 1024, 1024 ** 3, "bytes")),
  MAX_BODIES_BYTES: integer(256 * 1024 * 1024, 1024, 1024 ** 4, "bytes"),
  PAGES: onOff("on"),
  RATE_LIMIT_RPM: integer(0, 0, 1_000_000, "requests a minute; 0 for no limit"),
  RATE_LIMIT_SHARED: onOff("off"),
};

/** `isExposed`: whether the server can be reached from outside. What is wrong goes to `problems`. */
export function readHttp(
  values: Values<typeof httpEntries>,
  { isExposed, problems }: { readonly isExposed: boolean; readonly problems: string[] },
): HttpSettings {
  const isOpen = values.API_MASTER_KEY === "open";
  const masterKeys = values.API_MASTER_KEY === "open" ? [] : values.API_MASTER_KEY;
  const apiKeys = [
    ...masterKeys.map((key, index) => ({
      name: masterKeys.length > 1 ? `master-${index + 1}` : "master",
      key,
    })),
    ...values.API_KEYS,
  ];
  if (isOpen && apiKeys.length > 0)
    problems.push("API_MASTER_KEY is 1, which opens the API, while API_KEYS names keys: use one of them");
  return {
    app: { name: values.APP_NAME, version: values.APP_VERSION, description: values.DESCRIPTION },
    access: apiKeys.length > 0 ? "keys" : !isExposed ? "loopback" : isOpen ? "open" : "unconfigured",
    apiKeys,
    corsOrigins: values.CORS_ORIGIN,
    maxBodyBytes: values.MAX_BODY_BYTES,
    maxBodiesBytes: values.MAX_BODIES_BYTES,
    pages: values.PAGES,
    requestsPerMinute: values.RATE_LIMIT_RPM,
    sharesLimits: values.RATE_LIMIT_SHARED,
  };
}
