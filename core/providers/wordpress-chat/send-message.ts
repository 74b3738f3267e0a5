/** Sends a message with a nonce, and once more with another one where the site refused the first. */
import { ApiError } from "../../errors.ts";
import type { Clock, Fetch, ProviderContext } from "../../types.ts";
import type { CredentialSource, Credentials } from "./nonce/credentials.ts";
import { type ChatMessageForm, postMessage, type ReadProtocol } from "./post.ts";
import type { SiteReply } from "./protocol/answer.ts";
import { type Refused, siteRefusal } from "./protocol/failure.ts";
import type { SiteStream } from "./protocol/stream.ts";
import { siteWords } from "./site-response.ts";

export interface MessageSenderOptions {
  readonly fetch: Fetch;
  readonly clock: Pick<Clock, "now">;
  readonly protocol: ReadProtocol;
  /** Those that are the same for every message, without a cookie. */
  readonly headers: Headers;
  readonly credentials: CredentialSource;
}

export interface SentMessage {
  readonly answer: SiteReply | SiteStream;
  /** How often the message was posted: 1 or 2. */
  readonly calls: number;
}

export type SendMessage = (
  form: ChatMessageForm,
  context: Pick<ProviderContext, "signal" | "log">,
) => Promise<SentMessage>;

/** A message is posted again only after a refusal that shows that the site has not read it. */
export function createMessageSender(options: MessageSenderOptions): SendMessage {
  const { fetch, clock, protocol, credentials } = options;

  async function post(form: ChatMessageForm, used: Credentials, signal: AbortSignal) {
    const { nonce } = used;
    const headers = new Headers(options.headers);
    let { cookie } = used;
    for (const [name, value] of protocol.request.headers?.({ ...form, nonce }) ?? []) {
      if (name === "cookie") cookie = cookie === "" ? value : `${cookie}; ${value}`;
      else headers.set(name, value);
    }
    if (cookie !== "") headers.set("cookie", cookie);
    const isNonceAccepted = credentials.wasAccepted(used);
    const answer = await postMessage(form, {
      fetch,
      clock,
      protocol,
      headers,
      nonce,
      cookie,
      isNonceAccepted,
      signal,
    });
    if (isTaken(answer)) credentials.accepted(used);
    return answer;
  }

  return async (form, context) => {
    const { signal, log } = context;
    const used = await credentials.get(context);
    const first = await post(form, used, signal);
    if (isTaken(first)) return { answer: first, calls: 1 };
    if (used.nonce === "") throw withoutNonce(first);

    const refusal = refusals[first.kind];
    if (refusal === "suspected" && credentials.isProven(used)) throw siteRefusal(first.text);
    const renewed = await credentials.renew(used, refusal, context).catch((error) => {
      // The site's own words tell more than the failure of a page that was asked for on suspicion alone.
      throw refusal === "suspected" && !signal.aborted ? siteRefusal(first.text) : error;
    });
    log.info("nonce.refused", { certain: refusal === "certain", renewed: renewed !== undefined });
    if (renewed === undefined) throw lastingRefusal(first);

    const second = await post(form, renewed, signal);
    if (isTaken(second)) return { answer: second, calls: 2 };
    if (second.kind !== "unclear-refusal") credentials.refusedAgain(renewed);
    throw lastingRefusal(second);
  };
}

/** Whether the site has taken the message. */
const isTaken = (answer: Refused | SiteReply | SiteStream): answer is SiteReply | SiteStream =>
  answer.kind === "reply" || answer.kind === "stream";

/** A refusal by a site that was thought to want no nonce. */
const withoutNonce = (refused: Refused): ApiError =>
  refused.kind === "refused-nonce"
    ? new ApiError(
        "upstream_nonce_unavailable",
        `The chat site wants a nonce (${siteWords(refused.text)}), and \`nonce\` of its preset says that it needs none.`,
      )
    : lastingRefusal(refused);

/** What each kind of answer says of the credentials. */
const refusals = {
  "refused-nonce": "certain",
  "refused-cookies": "cookies",
  "unclear-refusal": "suspected",
} as const;

/** The failure of a message that nothing more can be done for. */
function lastingRefusal({ kind, text }: Refused): ApiError {
  switch (kind) {
    case "refused-nonce":
      return new ApiError(
        "upstream_nonce_unavailable",
        `The chat site refuses the nonce (${siteWords(text)}), and its page has no other: it may be held by a page ` +
          "cache that can't be passed, or the site refuses for another reason.",
      );
    case "refused-cookies":
      return new ApiError(
        "upstream_invalid_response",
        `The chat site finds the headers or cookies of a call too large (${siteWords(text)}), even without those ` +
          "that it has set itself; are UPSTREAM_HEADERS right?",
      );
    case "unclear-refusal":
      return siteRefusal(text);
  }
}
