/** What is wrong with an entry of a list of settings, such as PROVIDERS. */
import * as v from "valibot";
import { nameFinder } from "./nearest-name.ts";

/** A text that begins with the field's name; `what` says what has such fields. Shows no value. */
export function entryProblem(
  issue: v.BaseIssue<unknown>,
  { what, fields }: { readonly what: string; readonly fields: readonly string[] },
): string {
  const field = v.getDotPath(issue) ?? "";
  if (issue.type === "strict_object" && issue.expected === "never") {
    const meant = nameFinder(fields)(field);
    return `${field} is no field of ${what}.${meant === undefined ? "" : ` Did you mean ${meant}?`}`;
  }
  if (issue.kind === "validation" || issue.type === "union") return `${field} ${issue.message}`;
  // A schema's own message says more than its type.
  return issue.message.startsWith("must ") || issue.message.startsWith("has ")
    ? `${field} ${issue.message}`
    : `${field} must be ${issue.expected}`;
}
