/** Sends a message with a nonce, and once more with another one where the site refused the first. */
import { ApiError } from "../../errors.ts";
import type { Clock, Fetch, ProviderContext } from "../../types.ts";
import { type ChatMessageForm, postMessage, type Refused, siteRefusal } from "./ajax.ts";
import type { CredentialSource, Credentials } from "./nonce/credentials.ts";
import { siteWords } from "./site-response.ts";

export interface MessageSenderOptions {
  readonly fetch: Fetch;
  readonly clock: Pick<Clock, "now">;
  readonly ajaxUrl: string;
  /** Without a cookie. */
  readonly headers: Headers;
  readonly credentials: CredentialSource;
}

export interface SentMessage {
  /** The reply. */
  readonly text: string;
  /** How often the message was posted: 1 or 2. */
  readonly calls: number;
}

export type SendMessage = (
  form: ChatMessageForm,
  context: Pick<ProviderContext, "signal" | "log">,
) => Promise<SentMessage>;

/** A message is posted again only after a refusal that shows that the site has not read it. */
export function createMessageSender(options: MessageSenderOptions): SendMessage {
  const { fetch, clock, ajaxUrl, credentials } = options;

  async function post(form: ChatMessageForm, used: Credentials, signal: AbortSignal) {
    const { nonce, cookie } = used;
    const headers = new Headers(options.headers);
    if (cookie !== "") headers.set("cookie", cookie);
    const isNonceAccepted = credentials.wasAccepted(used);
    const answer = await postMessage(form, {
      fetch,
      clock,
      url: ajaxUrl,
      headers,
      nonce,
      cookie,
      isNonceAccepted,
      signal,
    });
    if (answer.kind === "reply") credentials.accepted(used);
    return answer;
  }

  return async (form, context) => {
    const { signal, log } = context;
    const used = await credentials.get(context);
    const first = await post(form, used, signal);
    if (first.kind === "reply") return { text: first.text, calls: 1 };

    const refusal = refusals[first.kind];
    if (refusal === "suspected" && credentials.isProven(used)) throw siteRefusal(first.text);
    const renewed = await credentials.renew(used, refusal, context).catch((error) => {
      // The site's own words tell more than the failure of a page that was asked for on suspicion alone.
      throw refusal === "suspected" && !signal.aborted ? siteRefusal(first.text) : error;
    });
    log.info("nonce.refused", { certain: refusal === "certain", renewed: renewed !== undefined });
    if (renewed === undefined) throw lastingRefusal(first);

    const second = await post(form, renewed, signal);
    if (second.kind === "reply") return { text: second.text, calls: 2 };
    if (second.kind !== "unclear-refusal") credentials.refusedAgain(renewed);
    throw lastingRefusal(second);
  };
}

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
