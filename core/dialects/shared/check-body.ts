/** The fields of a request's body, checked. */
import * as v from "valibot";
import { ApiError } from "../../errors.ts";

/** A number of this range, or nothing. */
export const range = (min: number, max: number) =>
  v.nullish(
    v.pipe(v.number(), v.minValue(min, `must be at least ${min}`), v.maxValue(max, `must be at most ${max}`)),
  );

/** A whole number of this range, or nothing. */
export const wholeRange = (min: number, max: number) =>
  v.nullish(
    v.pipe(
      v.number(),
      v.integer("must be a whole number"),
      v.minValue(min, `must be at least ${min}`),
      v.maxValue(max, `must be at most ${max}`),
    ),
  );

/** `messages[0].role`, as OpenAI writes it. */
const parameterName = (path: readonly { readonly key: unknown }[] = []): string | undefined =>
  path.length === 0
    ? undefined
    : path
        .map(({ key }, index) => (typeof key === "number" ? `[${key}]` : index === 0 ? key : `.${key}`))
        .join("");

/** What is wrong, without the value that was sent: it may be a message's text. */
const describeIssue = (issue: v.BaseIssue<unknown>): string => {
  if (issue.kind === "validation") return issue.message;
  if (issue.input === undefined) return "is required";
  const got =
    issue.input === null
      ? "null"
      : Array.isArray(issue.input)
        ? "an array"
        : `a value of type ${typeof issue.input}`;
  return `must be ${issue.expected}, but is ${got}`;
};

/** Throws ApiError invalid_request, which names the first field that is wrong. */
export function checkBody<Schema extends v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>>>(
  schema: Schema,
  body: unknown,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, body, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const param = parameterName(issue.path);
  throw new ApiError("invalid_request", `${param ?? "The request body"} ${describeIssue(issue)}.`, { param });
}
