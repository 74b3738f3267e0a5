/** Everything that speaks with one site: its preset as it was read, its credentials, and what sends a message. */
import type { Clock, Fetch, SessionStore } from "../../types.ts";
import { parseCookies } from "./nonce/cookies.ts";
import { type CredentialSource, credentialSource, noCredentials } from "./nonce/credentials.ts";
import { nonceFetcher } from "./nonce/fetch-nonce.ts";
import type { ReadProtocol } from "./post.ts";
import { createAnswerForm } from "./protocol/answer-form.ts";
import { createEventForm } from "./protocol/events.ts";
import { createRequestForm } from "./protocol/request-form.ts";
import { createMessageSender, type SendMessage } from "./send-message.ts";
import type { SiteSettings } from "./settings.ts";

/** What a provider of a chat site has beside its settings. */
export interface SiteParts {
  readonly fetch?: Fetch;
  readonly clock?: Clock;
  /** Shares the nonce with other instances, and keeps the site's sessions where the site remembers them. */
  readonly store?: SessionStore | undefined;
  /** Gets every nonce and cookie that is used, so that no log line and no error shows one. */
  readonly onSecret?: (secret: string) => void;
  /** How many milliseconds the chat page is left alone after a renewal of the nonce that did not help; 0 for not at all. */
  readonly holdOffMs?: number;
}

const browserHeaders = {
  "user-agent":
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
  "accept-language": "en-US,en;q=0.9",
};

/** What the site gets beside a message: a script's own headers. */
const scriptHeaders = {
  accept: "application/json, text/javascript, */*; q=0.01",
  "x-requested-with": "XMLHttpRequest",
};
const streamHeaders = { ...scriptHeaders, accept: "text/event-stream, application/json, */*; q=0.01" };

export interface SiteClient {
  readonly read: ReadProtocol;
  readonly credentials: CredentialSource;
  readonly sendMessage: SendMessage;
  /** The headers of a message that are the same for all, without a cookie. */
  readonly headers: Headers;
}

/** All that a preset says is read here, once. */
export function siteClient(
  {
    pageUrl,
    ajaxUrl,
    protocol,
    headers: siteHeaders,
  }: Pick<SiteSettings, "pageUrl" | "ajaxUrl" | "protocol" | "headers">,
  {
    fetch,
    clock,
    store,
    onSecret,
    holdOffMs = 30_000,
  }: SiteParts & { readonly fetch: Fetch; readonly clock: Clock },
): SiteClient {
  const { cookie: ownCookie = "", ...ownHeaders } = Object.fromEntries(new Headers(siteHeaders));
  const read: ReadProtocol = {
    request: createRequestForm(ajaxUrl, protocol),
    answer: createAnswerForm(ajaxUrl, protocol),
    events: createEventForm(protocol.stream),
  };
  const fromPage = { origin: new URL(pageUrl).origin, referer: pageUrl };
  const { nonce } = protocol;
  const credentials =
    nonce === undefined
      ? noCredentials(ownCookie)
      : credentialSource({
          nonces: nonceFetcher({
            fetch,
            nonce,
            pageUrl,
            pageHeaders: {
              ...browserHeaders,
              accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
              "upgrade-insecure-requests": "1",
              ...ownHeaders,
            },
            routeHeaders: { ...browserHeaders, ...scriptHeaders, ...fromPage, ...ownHeaders },
            cookies: parseCookies(ownCookie),
            nowMs: () => clock.now(),
          }),
          clock,
          cookie: ownCookie,
          store,
          holdOffMs,
          onSecret,
        });
  const { contentType } = read.request;
  const headers = new Headers({
    ...browserHeaders,
    ...(read.events === undefined ? scriptHeaders : streamHeaders),
    ...fromPage,
    ...ownHeaders,
    ...(contentType !== "" && { "content-type": contentType }),
  });
  const sendMessage = createMessageSender({
    fetch,
    clock,
    protocol: read,
    headers,
    credentials,
  });
  return { read, credentials, sendMessage, headers };
}
