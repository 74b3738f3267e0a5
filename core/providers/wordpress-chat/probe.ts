/** What a preset makes of a site, for people: where its nonce is, how a false one is refused, where the reply was read. */
import type { Clock, Fetch } from "../../types.ts";
import { nonceCandidates, pageScanner } from "./nonce/page.ts";
import { postMessage, type SiteAnswer } from "./post.ts";
import { looksLikeEvents } from "./protocol/answer.ts";
import { textAt } from "./protocol/paths.ts";
import { findJson } from "./reply/find-json.ts";
import type { SiteSettings } from "./settings.ts";
import { siteClient } from "./site-client.ts";

export interface SiteProbe {
  /** Where the nonce is looked for; undefined where none is needed. */
  readonly noncePlace: string | undefined;
  /** Posts a message with a nonce that the site can't have given. Throws ApiError. */
  postFalseNonce(message: string, signal: AbortSignal): Promise<SiteAnswer>;
  /** Where the reply stands in an answer's body. */
  replyPlace(body: string): string;
  /** Where else a page has what could be a nonce. */
  candidates(page: string): readonly string[];
  /** Whether the nonce is in a page. */
  hasNonce(page: string): boolean;
}

/** As a WordPress nonce looks. */
const falseNonce = "0000000000";

export function siteProbe(
  site: SiteSettings,
  { fetch, clock }: { readonly fetch: Fetch; readonly clock: Clock },
): SiteProbe {
  const { read, headers, credentials } = siteClient(site, { fetch, clock });
  const { nonce, stream } = site.protocol;
  const where =
    nonce?.route === undefined
      ? nonce && `${nonce.in} at ${nonce.path} in the page`
      : `${nonce.path} of ${nonce.route.method} ${new URL(nonce.route.url).pathname}`;
  const scan = nonce?.in === undefined ? undefined : pageScanner({ in: nonce.in, path: nonce.path });

  return {
    noncePlace: where,
    async postFalseNonce(message, signal) {
      const { cookie } = await credentials.get({ signal });
      const model = site.models[0]?.siteName ?? "";
      const fields = { message, model, session: "session_0_doctor000" };
      const all = new Headers(headers);
      if (cookie !== "") all.set("cookie", cookie);
      for (const [name, value] of read.request.headers?.({ ...fields, nonce: falseNonce }) ?? [])
        all.set(name, value);
      return postMessage(fields, {
        nonce: falseNonce,
        fetch,
        protocol: read,
        headers: all,
        cookie,
        signal,
        clock,
        isNonceAccepted: false,
      });
    },
    replyPlace(body) {
      if (looksLikeEvents(body)) {
        return `a stream of ${typeof stream === "string" ? "OpenAI's events" : "events"}`;
      }
      const { reply, keys } = read.answer;
      return textAt(findJson(body, keys), reply)?.place.name ?? "the whole answer";
    },
    candidates: nonceCandidates,
    hasNonce: (page) => scan !== undefined && "nonce" in scan(page),
  };
}
