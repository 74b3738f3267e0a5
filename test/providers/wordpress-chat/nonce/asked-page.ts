import type { ApiError } from "../../../../core/errors.ts";
import { parseCookies } from "../../../../core/providers/wordpress-chat/nonce/cookies.ts";
import {
  type CredentialSourceOptions,
  credentialSource,
} from "../../../../core/providers/wordpress-chat/nonce/credentials.ts";
import { nonceFetcher } from "../../../../core/providers/wordpress-chat/nonce/fetch-nonce.ts";
import type { Fetch } from "../../../../core/types.ts";
import { type FakeClock, fakeClock, settle } from "../../../fakes/fake-clock.ts";

export const pageUrl = "http://site.test/chat/";
export const hourMs = 3_600_000;

export const html = (nonce: string) =>
  `<script>var kimi_ajax = {"ajax_url":"\\/","nonce":"${nonce}"};</script>`;

interface PageCall {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly signal: AbortSignal;
  answer(response: Response): void;
  fail(error: unknown): void;
}

/** A site whose every answer the test gives. */
function askedSite() {
  const calls: PageCall[] = [];
  const fetch: Fetch = (url, init) =>
    new Promise((resolve, reject) => {
      const signal = init.signal as AbortSignal;
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      const headers = init.headers as Record<string, string>;
      calls.push({ url, headers, signal, answer: resolve, fail: reject });
    });
  return { calls, fetch };
}

export const page = (nonce: string, ...setCookies: string[]) =>
  new Response(html(nonce), { headers: setCookies.map((value) => ["set-cookie", value]) });

interface SetUpOptions extends Partial<Omit<CredentialSourceOptions, "nonces">> {
  readonly fetch?: Fetch;
}

export function setUp(overrides: SetUpOptions = {}, clock: FakeClock = fakeClock()) {
  const { calls, fetch: askedFetch } = askedSite();
  const { fetch = askedFetch, ...options } = overrides;
  const source = credentialSource({
    nonces: nonceFetcher({
      fetch,
      nonce: { in: "kimi_ajax", path: "nonce" },
      pageUrl,
      pageHeaders: { "user-agent": "Browser" },
      routeHeaders: {},
      cookies: parseCookies(overrides.cookie ?? ""),
      nowMs: () => clock.now(),
    }),
    clock,
    cookie: "",
    holdOffMs: 30_000,
    ...options,
  });
  const last = () => calls.at(-1) as PageCall;
  return { source, calls, clock, last };
}

export const context = () => ({ signal: new AbortController().signal });

/** Gives a promise time to get so far that it waits for the site. */
export const begin = async <T>(promise: Promise<T>): Promise<Promise<T>[]> => {
  promise.catch(() => {});
  await settle();
  return [promise];
};

export const faultOf = (promise: Promise<unknown>): Promise<ApiError> =>
  promise.then(
    () => {
      throw new Error("nothing was thrown");
    },
    (error) => error,
  );

/** Credentials that the page has given. */
export async function fetched(set: ReturnType<typeof setUp>, response = page("nonce1")) {
  const [got] = await begin(set.source.get(context()));
  set.last().answer(response);
  return (await got) as Awaited<typeof got> & object;
}
