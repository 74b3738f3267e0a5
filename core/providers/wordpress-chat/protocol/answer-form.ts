/** How a plug-in's answers are read: a preset's places and texts, read once. */
import type { SiteProtocol } from "../preset.ts";
import { type Place, placeOf } from "./paths.ts";

export interface AnswerForm {
  /** Where the reply may be, the places tried in turn. */
  readonly reply: readonly Place[];
  /** Keys of which the answer's JSON has at least one. */
  readonly keys: readonly string[];
  /** With what a reply begins that is an error. */
  readonly errors: readonly string[];
  /** Whether a failure's text, or its status, is that of a refused nonce. */
  isRefusal(status: number, text: string): boolean;
  /** Where an answer names its session. */
  readonly session: Place | undefined;
  /** What WordPress is asked to do, and where, for messages. */
  readonly action: string;
  readonly path: string;
}

/** The REST API's keys of a failure, and those of admin-ajax's answers. */
const usualKeys = ["success"];

export function createAnswerForm(
  endpointUrl: string,
  { reply, errors, nonce, session, body }: SiteProtocol,
): AnswerForm {
  const places = reply.map(placeOf);
  const roots = places.flatMap(({ steps }) => steps[0] ?? []);
  const action = body.form?.action;
  const { pathname } = new URL(endpointUrl.replace(/\{\w+\}/g, ""));
  return {
    reply: places,
    keys: [...new Set([...usualKeys, ...roots])],
    errors,
    isRefusal: refusalTest(nonce?.refused ?? []),
    session: session === undefined ? undefined : placeOf(session),
    action: action === undefined ? `route ${pathname}` : `action ${action}`,
    path: pathname,
  };
}

/** A text of three characters or more may stand anywhere in a failure, whatever its case; a shorter one is all of it. */
function refusalTest(refused: readonly (string | number)[]): AnswerForm["isRefusal"] {
  const isStatus = (entry: string | number) => typeof entry === "number" || /^[1-5]\d\d$/.test(entry);
  const statuses = new Set(refused.filter(isStatus).map(Number));
  const texts = refused.flatMap((entry) =>
    typeof entry === "string" && !isStatus(entry) ? [entry.toLowerCase()] : [],
  );
  if (refused.length === 0) return () => false;
  return (status, text) => {
    if (statuses.has(status)) return true;
    const said = text.trim().toLowerCase();
    return texts.some((each) => (each.length < 3 ? said === each : said.includes(each)));
  };
}
