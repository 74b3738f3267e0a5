/** Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html */

/** One event of JSON, with a name where the format has one. */
export const encodeSseEvent = (json: string, name?: string): string =>
  name === undefined
    ? `data: ${withoutSeparators(json)}\n\n`
    : `event: ${name}\ndata: ${withoutSeparators(json)}\n\n`;

/** JSON may have these two as they are, but some clients end a line at them. */
export const withoutSeparators = (json: string): string =>
  json.includes("\u2028") || json.includes("\u2029")
    ? json.replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029")
    : json;

/** A line that every parser skips. */
export const encodeSseComment = (comment: string): string => `: ${comment}\n\n`;
