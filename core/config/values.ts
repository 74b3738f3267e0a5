/** What settings are made of: schemas for one environment variable each, whose messages say what is allowed. */
import * as v from "valibot";

export const text = (fallback: string) => v.optional(v.string(), fallback);

export const oneOf = <const Choices extends readonly string[]>(choices: Choices, fallback: Choices[number]) =>
  v.optional(
    v.pipe(v.string(), v.toLowerCase(), v.picklist(choices, `must be one of ${choices.join(", ")}`)),
    fallback,
  );

export const number = (fallback: number, min: number, max: number, unit: string) => {
  const allowed = `must be a number from ${min} to ${max} (${unit})`;
  return v.optional(
    v.pipe(
      v.string(),
      v.regex(/^\d+(\.\d+)?$/, allowed),
      v.transform(Number),
      v.minValue(min, allowed),
      v.maxValue(max, allowed),
    ),
    String(fallback),
  );
};

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
