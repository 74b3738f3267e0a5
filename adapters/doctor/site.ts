/** A chat site: its hosts, its page, the nonce in it, and one message; and whether the preset fits. */
import type { Environment } from "../../core/config/config.ts";
import { ApiError } from "../../core/errors.ts";
import { siteProbe } from "../../core/providers/wordpress-chat/probe.ts";
import { createSiteProvider } from "../../core/providers/wordpress-chat/provider.ts";
import type { SiteSettings } from "../../core/providers/wordpress-chat/settings.ts";
import type { Fetch } from "../../core/types.ts";
import { systemClock } from "../../core/util/time.ts";
import { adviceFor, refusedNonce, type SiteSettingNames, siteChanges, unfitPreset } from "./advice.ts";
import { askOnce, question } from "./ask-once.ts";
import { bad, describe, type Finding, good, shownUrl, skipped, warning, wordsOf } from "./finding.ts";
import { examineHost } from "./hosts.ts";

export interface SiteOptions {
  readonly site: SiteSettings;
  readonly names: SiteSettingNames;
  readonly model: string;
  readonly timeoutMs: number;
  readonly environment: Environment;
  readonly fetch: Fetch;
}

interface Call {
  readonly url: string;
  readonly isMessage: boolean;
  status: number | undefined;
  ms: number;
  /** What came back. */
  body: Promise<string>;
}

/** The address of a call without what changes from one to the next. */
const placeOf = (url: string): string => {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
};

/** A fetch that notes what it does, and what comes back. */
const observed = (fetch: Fetch, { ajaxUrl, protocol }: SiteSettings, calls: Call[]): Fetch => {
  const messagePlace = placeOf(ajaxUrl.replace(/\{\w+\}/g, "x"));
  return async (url, init) => {
    const isMessage = (init.method ?? "GET") === protocol.method && placeOf(url) === messagePlace;
    const call: Call = { url, isMessage, status: undefined, ms: 0, body: Promise.resolve("") };
    calls.push(call);
    const startedMs = performance.now();
    try {
      const response = await fetch(url, init);
      call.status = response.status;
      call.body = response
        .clone()
        .text()
        .catch(() => "");
      return response;
    } finally {
      call.ms = performance.now() - startedMs;
    }
  };
};

/** Which part of the preset a failure is about, where it names one. */
const namedPart = (error: unknown): string | undefined =>
  error instanceof ApiError
    ? /`([\w.]+)`(?: and `[\w.]+`)* of its preset/.exec(error.message)?.[1]
    : undefined;

/** What the one message has shown of the three steps on its way. */
export async function* examineSite(options: SiteOptions): AsyncGenerator<Finding> {
  const { site, names, model, timeoutMs, environment } = options;
  const hosts = [await examineHost(site.pageUrl, names.page, environment)];
  if (new URL(site.pageUrl).host !== new URL(site.ajaxUrl).host) {
    hosts.push(await examineHost(site.ajaxUrl, names.endpoint, environment));
  }
  yield* hosts;
  if (hosts[0]?.verdict === "bad") {
    yield skipped("page", "not tried");
    yield skipped("nonce", "not tried");
    yield skipped("message", "not tried");
    return;
  }

  const calls: Call[] = [];
  const fetch = observed(options.fetch, site, calls);
  const provider = createSiteProvider({ ...site, chunkDelayMs: 0 }, { fetch, holdOffMs: 0 });
  const outcome = await askOnce(provider, model, timeoutMs).catch((error: unknown) => ({ error }));
  const error = "error" in outcome ? outcome.error : undefined;
  const changes = siteChanges(names);
  const part = namedPart(error);
  const adviceOn = (failure: unknown) =>
    part === undefined ? adviceFor(failure, changes) : unfitPreset(part, names);
  // The page's scripts are asked too where the page itself has no nonce.
  const pages = calls.filter(({ isMessage, url }) => !isMessage && !new URL(url).pathname.endsWith(".js"));
  const posts = calls.filter(({ isMessage }) => isMessage);
  const page = pages.at(-1);
  const lacksNonce = error instanceof ApiError && error.code === "upstream_nonce_unavailable";
  const probe = siteProbe(site, { fetch: options.fetch, clock: systemClock });
  const { noncePlace } = probe;

  if (noncePlace === undefined) yield good("nonce", "none: the preset says that the site needs none");
  else {
    const pageStatus = page?.status ?? 0;
    const hasPage = posts.length > 0 || (lacksNonce && pageStatus >= 200 && pageStatus < 300);
    const place = pages[0]?.url ?? site.pageUrl;
    yield hasPage
      ? good("page", `${shownUrl(place)}: status ${pages[0]?.status}`, pages[0]?.ms ?? 0)
      : bad("page", describe(error), adviceOn(error), page?.ms);
    if (posts.length === 0) {
      if (hasPage) yield await lostNonce();
      else yield skipped("nonce", "not tried");
      yield skipped("message", "not tried");
      return;
    }
    if (lacksNonce) yield bad("nonce", describe(error), refusedNonce(names));
    else if (posts.length > 1) {
      yield warning("nonce", "the first one was refused, the one after it taken", {
        means:
          "the site refused what its page had just given, perhaps as the page came out of a cache; the gateway asked again",
        change: "nothing",
      });
    } else yield good("nonce", `found: ${noncePlace}`);
  }

  if ("error" in outcome) {
    const advice = lacksNonce && part === undefined ? refusedNonce(names) : adviceOn(error);
    yield bad("message", describe(error), advice, posts.at(-1)?.ms);
    return;
  }
  const place = probe.replyPlace((await posts.at(-1)?.body) ?? "");
  yield good(
    "message",
    `${model} answered with ${outcome.characters} characters, read from ${place}`,
    outcome.ms,
  );
  if (noncePlace !== undefined) yield await examineRefusal();

  /** The page is there, and no nonce in it. */
  async function lostNonce(): Promise<Finding> {
    const candidates = site.protocol.nonce?.route ? [] : probe.candidates((await page?.body) ?? "");
    const advice = part?.startsWith("nonce.") ? unfitPreset(part, names) : adviceFor(error, changes);
    if (candidates.length === 0) return bad("nonce", describe(error), advice);
    return bad("nonce", `${describe(error)}; the page has others: ${candidates.join(", ")}`, {
      means: "the preset does not fit this page, or it is another plug-in's",
      change: `${names.part("nonce")}: \`in\` and \`path\` to the one that belongs to the chat`,
    });
  }

  /** How the site refuses a nonce that it never gave, so that a dead one is known when it comes. */
  async function examineRefusal(): Promise<Finding> {
    const signal = AbortSignal.timeout(timeoutMs);
    const learnt = await probe
      .postFalseNonce(question, signal)
      .catch((failure: unknown) => ({ kind: "failed" as const, failure }));
    switch (learnt.kind) {
      case "refused-nonce":
        return good("refusal", `a false nonce is refused, and that is understood: ${shown(learnt.text)}`);
      case "unclear-refusal":
        return warning(
          "refusal",
          `a false nonce is refused in words that say nothing to the preset: ${shown(learnt.text)}`,
          {
            means: "a dead nonce is renewed on suspicion alone, where the page has another",
            change: `${names.part("nonce")}: \`refused\` to a list with these words, or with the code among them`,
          },
        );
      case "reply":
      case "stream":
        return warning("refusal", "a message with a false nonce was answered too", {
          means: "the site does not look at the nonce",
          change: `${names.part("nonce")} to "none", which spares the page; or nothing`,
        });
      case "refused-cookies":
        return warning("refusal", "the site finds the cookies too large", {
          means: "its answer says nothing of the nonce",
          change: names.headers,
        });
      default:
        return warning(
          "refusal",
          `a false nonce is answered with what is no refusal: ${wordsOf(learnt.failure)}`,
          {
            means: "a dead nonce would not be renewed before its twelve hours are over",
            change: `${names.part("nonce")}: \`refused\` to a list with a text of that answer, or with its status`,
          },
        );
    }
  }
}

const shown = (text: string): string => (text === "" ? "without a word" : `"${text.slice(0, 120)}"`);
