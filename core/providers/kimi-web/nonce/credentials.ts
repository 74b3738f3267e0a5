/** The nonce and the cookies that a message needs: fetched once for all, kept for hours, renewed when refused. */
import { ApiError } from "../../../errors.ts";
import type { Clock, Fetch, Logger, SessionStore } from "../../../types.ts";
import { type SharedTask, sharedTask } from "../../shared/shared-task.ts";
import { fetchChatPage } from "./chat-page.ts";
import { cookieHeader, parseCookies } from "./cookies.ts";
import { credentialStore, type StoredCredentials } from "./credential-store.ts";

/** What the site wants to see beside a message. */
export interface Credentials {
  readonly nonce: string;
  /** A `Cookie` header; "" for none. */
  readonly cookie: string;
  /** Milliseconds since the epoch. */
  readonly fetchedAtMs: number;
}

export interface CredentialContext {
  readonly signal: AbortSignal;
  readonly log?: Logger;
}

export interface CredentialSource {
  /** Those that can be used without waiting, if there are any. */
  atHand(): Credentials | undefined;
  /** Those at hand, or those of the store or the page. */
  get(context: CredentialContext): Promise<Credentials>;
  /**
   * What to use instead of `used`, which the site has refused, or may have ("suspected"): undefined if nothing else
   * can be had.
   */
  renew(
    used: Credentials,
    refusal: "certain" | "suspected",
    context: CredentialContext,
  ): Promise<Credentials | undefined>;
  /** Tells that the site has refused renewed ones too. */
  refusedAgain(renewed: Credentials): void;
  /** Fetches ahead of the first message. Never throws. */
  warmUp(): Promise<void>;
}

export interface CredentialSourceOptions {
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly pageUrl: string;
  /** Of a browser that opens the page. */
  readonly headers: Readonly<Record<string, string>>;
  /** A `Cookie` header that the operator has set; "" for none. */
  readonly cookie: string;
  readonly store?: SessionStore | undefined;
  /** How long the page is left alone after a renewal that did not help; 0 for not at all. */
  readonly holdOffMs: number;
}

/** WordPress's nonces live for 12 to 24 hours. */
const maxAgeMs = 12 * 60 * 60 * 1000;
const pageLimitMs = 15_000;
/** How long an instance that fetches the page is relied on by the others, and how often they look. */
const claimMs = 5_000;
const lookMs = 200;

/** What Cloudflare hands to every new visitor; a change of it says nothing of the site. */
const edgeCookies = /(?:^|; )(?:__cf|_cf|cf_)[^;]*/g;

const isSame = (a: Credentials, b: Credentials): boolean =>
  a.nonce === b.nonce && a.cookie.replace(edgeCookies, "") === b.cookie.replace(edgeCookies, "");

/** Why the page is fetched: nothing usable is at hand, or what is at hand was refused. */
type Reason = "none" | "suspected" | "certain";

interface Flight extends SharedTask<Credentials> {
  readonly reason: Reason;
}

/** Credentials for one site. */
export function credentialSource(options: CredentialSourceOptions): CredentialSource {
  const { fetch, clock, pageUrl, headers, holdOffMs } = options;
  const ownCookies = parseCookies(options.cookie);
  const store = options.store && credentialStore(options.store, pageUrl, clock);
  const page = { fetch, pageUrl, headers, cookies: ownCookies, nowMs: () => clock.now() };

  let current: Credentials | undefined;
  /** The one fetch that is under way. */
  let flight: Flight | undefined;
  /** What the last forced fetch has brought. */
  let renewedLast: Credentials | undefined;
  let heldOffUntilMs = 0;

  const ageMs = ({ fetchedAtMs }: Credentials) => clock.now() - fetchedAtMs;

  const adopt = ({ nonce, cookie, fetchedAtMs }: StoredCredentials): Credentials => {
    current = { nonce, cookie: cookieHeader({ ...ownCookies, ...parseCookies(cookie) }), fetchedAtMs };
    return current;
  };

  async function fetchFromPage(isForced: boolean, signal: AbortSignal, log: Logger | undefined) {
    const { nonce, cookies } = await fetchChatPage(page, { isForced, signal });
    const fetched = { nonce, cookie: cookieHeader(cookies), fetchedAtMs: clock.now() };
    // Others profit from it; whoever waits here does not, and so does not wait for it.
    void store?.write(fetched, maxAgeMs, log);
    log?.debug("nonce fetched", { forced: isForced });
    return adopt(fetched);
  }

  /** What another instance has stored, if it is newer than what has been refused here. */
  async function readStored(refused: Credentials | undefined, log: Logger | undefined) {
    const stored = await store?.read(log);
    if (stored === undefined || ageMs(stored) >= maxAgeMs) return undefined;
    if (refused !== undefined && stored.fetchedAtMs <= refused.fetchedAtMs) return undefined;
    return adopt(stored);
  }

  function start(reason: Reason, refused: Credentials | undefined, log: Logger | undefined): Flight {
    const isForced = reason !== "none";
    const work = async (signal: AbortSignal) => {
      const untilMs = clock.now() + claimMs;
      while (store) {
        const stored = await readStored(refused, log);
        if (stored !== undefined && !(refused && isSame(stored, refused))) return stored;
        signal.throwIfAborted();
        if (clock.now() >= untilMs || (await store.claim(claimMs, log))) break;
        await new Promise<void>((resolve) => clock.schedule(resolve, lookMs));
      }
      const fetched = await fetchFromPage(isForced, signal, log).catch((error) => {
        void store?.release(log);
        throw error;
      });
      if (isForced) renewedLast = fetched;
      return fetched;
    };
    const onOver = () => {
      if (flight === started) flight = undefined;
    };
    const timeoutMessage = `The chat page took longer than ${pageLimitMs / 1000} s.`;
    const task = sharedTask(work, { clock, limitMs: pageLimitMs, timeoutMessage, onOver });
    const started: Flight = { ...task, reason };
    flight = started;
    return started;
  }

  const holdOff = () => {
    // A later refusal does not make it longer, or steady traffic would make it endless.
    if (clock.now() >= heldOffUntilMs) heldOffUntilMs = clock.now() + holdOffMs;
  };

  // While one that was refused is renewed, nobody else needs to be refused.
  const atHand = (): Credentials | undefined =>
    current !== undefined && ageMs(current) < maxAgeMs && flight?.reason !== "certain" ? current : undefined;

  async function get({ signal, log }: CredentialContext): Promise<Credentials> {
    return atHand() ?? (flight ?? start("none", undefined, log)).join(signal);
  }

  return {
    atHand,
    get,

    async renew(used, refusal, { signal, log }) {
      // What brings the first nonce may come out of a page cache: only what it changes is of use.
      if (flight?.reason === "none") await flight.join(signal);
      if (current !== undefined && !isSame(current, used)) return current;
      if (clock.now() < heldOffUntilMs) return undefined;
      try {
        const renewed = await (flight ?? start(refusal, used, log)).join(signal);
        if (!isSame(renewed, used)) return renewed;
        if (refusal === "certain") holdOff();
        return undefined;
      } catch (error) {
        if (error instanceof ApiError && error.code === "upstream_nonce_unavailable") holdOff();
        throw error;
      }
    },

    refusedAgain(renewed) {
      if (renewedLast !== undefined && isSame(renewed, renewedLast)) holdOff();
    },

    async warmUp() {
      await get({ signal: new AbortController().signal }).catch(() => {});
    },
  };
}
