/** The chat site: its hosts, its page, the nonce in it, and one message. */
import type { Environment } from "../../core/config/config.ts";
import { ApiError } from "../../core/errors.ts";
import { kimiWeb } from "../../core/providers/wordpress-chat/provider.ts";
import type { SiteSettings } from "../../core/providers/wordpress-chat/settings.ts";
import type { Fetch } from "../../core/types.ts";
import { adviceFor, refusedNonce, siteChanges } from "./advice.ts";
import { askOnce } from "./ask-once.ts";
import { bad, describe, type Finding, good, shownUrl, skipped, warning } from "./finding.ts";
import { examineHost } from "./hosts.ts";

export interface SiteOptions {
  readonly site: SiteSettings;
  readonly model: string;
  readonly timeoutMs: number;
  readonly environment: Environment;
  readonly fetch: Fetch;
}

interface Call {
  readonly url: string;
  readonly method: string;
  status: number | undefined;
  ms: number;
}

/** A fetch that notes what it does. */
const observed = (fetch: Fetch, calls: Call[]): Fetch => {
  return async (url, init) => {
    const call: Call = { url, method: init.method ?? "GET", status: undefined, ms: 0 };
    calls.push(call);
    const startedMs = performance.now();
    try {
      const response = await fetch(url, init);
      call.status = response.status;
      return response;
    } finally {
      call.ms = performance.now() - startedMs;
    }
  };
};

/** What the one message has shown of the three steps on its way. */
export async function* examineSite(options: SiteOptions): AsyncGenerator<Finding> {
  const { site, model, timeoutMs, environment } = options;
  const hosts = [await examineHost(site.pageUrl, "CHAT_PAGE_URL", environment)];
  if (new URL(site.pageUrl).host !== new URL(site.ajaxUrl).host) {
    hosts.push(await examineHost(site.ajaxUrl, "UPSTREAM_URL", environment));
  }
  yield* hosts;
  if (hosts[0]?.verdict === "bad") {
    yield skipped("page", "not tried");
    yield skipped("nonce", "not tried");
    yield skipped("message", "not tried");
    return;
  }

  const calls: Call[] = [];
  const provider = kimiWeb({ ...site, fetch: observed(options.fetch, calls), holdOffMs: 0, chunkDelayMs: 0 });
  const outcome = await askOnce(provider, model, timeoutMs).catch((error: unknown) => ({ error }));
  const error = "error" in outcome ? outcome.error : undefined;
  // The page's scripts are asked too where the page itself has no nonce.
  const pages = calls.filter(({ method, url }) => method === "GET" && !new URL(url).pathname.endsWith(".js"));
  const posts = calls.filter(({ method }) => method === "POST");
  const page = pages.at(-1);
  const lacksNonce = error instanceof ApiError && error.code === "upstream_nonce_unavailable";

  const pageStatus = page?.status ?? 0;
  const hasPage = posts.length > 0 || (lacksNonce && pageStatus >= 200 && pageStatus < 300);
  yield hasPage
    ? good("page", `${shownUrl(site.pageUrl)}: status ${pages[0]?.status}`, pages[0]?.ms ?? 0)
    : bad("page", describe(error), adviceFor(error, siteChanges), page?.ms);
  if (posts.length === 0) {
    if (hasPage) yield bad("nonce", describe(error), adviceFor(error, siteChanges));
    else yield skipped("nonce", "not tried");
    yield skipped("message", "not tried");
    return;
  }

  if (lacksNonce) yield bad("nonce", describe(error), refusedNonce);
  else if (posts.length > 1) {
    yield warning("nonce", "the first one was refused, the one after it taken", {
      means:
        "the site refused what its page had just given, perhaps as the page came out of a cache; the gateway asked again",
      change: "nothing",
    });
  } else yield good("nonce", "found in the page");

  if ("error" in outcome) {
    const advice = lacksNonce ? refusedNonce : adviceFor(error, siteChanges);
    yield bad("message", describe(error), advice, posts.at(-1)?.ms);
  } else yield good("message", `${model} answered with ${outcome.characters} characters`, outcome.ms);
}
