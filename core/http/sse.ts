/** Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html */

/** One event, with a name where the format has one. `data` has no line breaks, as JSON never has. */
export const encodeSseEvent = (data: string, name?: string): string =>
  name === undefined ? `data: ${data}\n\n` : `event: ${name}\ndata: ${data}\n\n`;

/** A line that every parser skips. */
export const encodeSseComment = (comment: string): string => `: ${comment}\n\n`;
