/** Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html */

/** One event of JSON, with a name where the format has one. */
export const encodeSseEvent = (json: string, name?: string): string =>
  name === undefined ? `data: ${json}\n\n` : `event: ${name}\ndata: ${json}\n\n`;

/**
 * The text of a stream with Unicode's line separators escaped: JSON, the only place where they can be, may have them as
 * they are, but some clients end a line at them.
 */
export const withoutSeparators = (events: string): string =>
  events.includes("\u2028") || events.includes("\u2029")
    ? events.replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029")
    : events;

/** A line that every parser skips. */
export const encodeSseComment = (comment: string): string => `: ${comment}\n\n`;
