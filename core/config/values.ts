/**
 * What settings are made of: schemas for one environment variable each, whose messages say what is allowed. Each plug-in
 * has the schemas of its own variables, by name, in its `settings.ts`; config.ts puts them together.
 */
import * as v from "valibot";

export const text = (fallback: string) => v.optional(v.string(), fallback);

export const oneOf = <const Choices extends readonly string[]>(choices: Choices, fallback: Choices[number]) =>
  v.optional(
    v.pipe(v.string(), v.toLowerCase(), v.picklist(choices, `must be one of ${choices.join(", ")}`)),
    fallback,
  );

const numberText = (min: number, max: number, unit: string) => {
  const allowed = `must be a number from ${min} to ${max} (${unit})`;
  return v.pipe(
    v.string(),
    v.regex(/^\d+(\.\d+)?$/, allowed),
    v.transform(Number),
    v.minValue(min, allowed),
    v.maxValue(max, allowed),
  );
};

export const number = (fallback: number, min: number, max: number, unit: string) =>
  v.optional(numberText(min, max, unit), String(fallback));

/** Undefined where it is not set. */
export const optionalNumber = (min: number, max: number, unit: string) =>
  v.optional(numberText(min, max, unit));

export const integer = (fallback: number, min: number, max: number, unit: string) =>
  v.pipe(
    number(fallback, min, max, unit),
    v.integer(`must be a whole number from ${min} to ${max} (${unit})`),
  );

export const onOff = (fallback: "on" | "off") =>
  v.pipe(
    oneOf(["on", "off", "true", "false", "1", "0", "yes", "no"], fallback),
    v.transform((word) => ["on", "true", "1", "yes"].includes(word)),
  );

export const httpUrl = (fallback: string) =>
  v.optional(
    v.pipe(
      v.string(),
      v.check((value) => {
        const url = URL.canParse(value) ? new URL(value) : undefined;
        return (
          url !== undefined && /^https?:$/.test(url.protocol) && url.username === "" && url.password === ""
        );
      }, "must be an http(s) URL without user and password"),
    ),
    fallback,
  );

export const parsedJson = (value: string): unknown => {
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
};

const isStringRecord = (value: unknown): value is Record<string, string> =>
  typeof value === "object" &&
  value !== null &&
  !Array.isArray(value) &&
  Object.values(value).every((entry) => typeof entry === "string");

/** A transform that may fail: `read` returns the value, or throws an Error that says what is allowed. */
export const custom = <T>(fallback: string, read: (value: string) => T) =>
  v.pipe(
    v.optional(v.string(), fallback),
    v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
      try {
        return read(dataset.value);
      } catch (error) {
        addIssue({ message: (error as Error).message });
        return NEVER;
      }
    }),
  );

export const stringRecord = (what: string) => (value: string) => {
  const record = parsedJson(value);
  if (!isStringRecord(record)) throw new Error(`must be a JSON object of ${what}`);
  return record;
};

/** The values that a plug-in's entries read. */
export type Values<Entries extends v.ObjectEntries> = v.InferOutput<v.ObjectSchema<Entries, undefined>>;

export const fitsHeaders = (headers: Readonly<Record<string, string>>): boolean => {
  try {
    new Headers(headers);
    return true;
  } catch {
    return false;
  }
};

/** A JSON object of header names and values, the names in lower case. */
export const readHeaders = (value: string): Readonly<Record<string, string>> => {
  const headers = stringRecord("header names and values")(value);
  if (!fitsHeaders(headers)) throw new Error("contains an invalid header name or value");
  return Object.fromEntries(new Headers(headers));
};

/** Whether a text has quotes around it. */
export const isQuoted = (text: string): boolean => /^(["']).*\1$/s.test(text);

/** A shell and most readers of `.env` files take quotes away; `docker --env-file` doesn't. */
export const keptQuotes = (what = "its value") =>
  `has quotes around ${what}, which count as a part of it: write it without (docker --env-file keeps them)`;
