/** The nonce and the cookies that a message needs: fetched once for all, kept for hours, renewed when refused. */
import { ApiError, toApiError } from "../../../errors.ts";
import type { Clock, Logger, SessionStore } from "../../../types.ts";
import { sleep } from "../../../util/time.ts";
import { type SharedTask, sharedTask } from "../../shared/shared-task.ts";
import { cookieHeader, parseCookies } from "./cookies.ts";
import { credentialStore, type StoredCredentials } from "./credential-store.ts";
import type { NonceFetcher } from "./fetch-nonce.ts";

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

/** Why credentials are renewed: the site refused the nonce, may have refused it, or finds the cookies too large. */
export type Refusal = "certain" | "suspected" | "cookies";

export interface CredentialSource {
  /** Those at hand, or those of the store or the page. */
  get(context: CredentialContext): Promise<Credentials>;
  /** What to use instead of `used`; undefined if nothing else can be had. */
  renew(used: Credentials, refusal: Refusal, context: CredentialContext): Promise<Credentials | undefined>;
  /** Notes that the site has accepted a message with `used`. */
  accepted(used: Credentials): void;
  /** Notes that the site has refused renewed ones too. */
  refusedAgain(renewed: Credentials): void;
  /** Whether the site has ever accepted a message with `used`. */
  wasAccepted(used: Credentials): boolean;
  /** Whether `used` proved good within the last minute, so that a refusal without a reason must have another one. */
  isProven(used: Credentials): boolean;
  /** Fetches ahead of the first message. Never throws. */
  warmUp(context?: { readonly log: Logger }): Promise<void>;
}

export interface CredentialSourceOptions {
  readonly nonces: NonceFetcher;
  readonly clock: Clock;
  /** A `Cookie` header that the operator has set; "" for none. */
  readonly cookie: string;
  readonly store?: SessionStore | undefined;
  /** How long the page is left alone after a renewal that did not help; 0 for not at all. */
  readonly holdOffMs: number;
  /** Gets every nonce and cookie that is used, so that no log line and no error shows one. */
  readonly onSecret?: ((secret: string) => void) | undefined;
}

/** WordPress's nonces live for 12 to 24 hours. */
const maxAgeMs = 12 * 60 * 60 * 1000;
const pageLimitMs = 15_000;
/** How long a nonce that has proved good is not suspected again. */
const provenMs = 60_000;
/** How long an instance that fetches the page is relied on by the others, and how often they look. */
const claimMs = 5_000;
const lookMs = 200;

/** What Cloudflare hands to every new visitor; a change of it says nothing of the site. */
const edgeCookies = /(?:^|; )(?:__cf|_cf|cf_)[^;]*/g;

const isSame = (a: Credentials, b: Credentials): boolean =>
  a.nonce === b.nonce && a.cookie.replace(edgeCookies, "") === b.cookie.replace(edgeCookies, "");

interface Flight extends SharedTask<Credentials> {
  /** Why the page is fetched; undefined if nothing usable was at hand. */
  readonly refusal: Refusal | undefined;
}

/** For a site that wants no nonce: nothing is fetched, and every message comes from a new visitor. */
export function noCredentials(cookie: string): CredentialSource {
  const none: Credentials = { nonce: "", cookie: cookieHeader(parseCookies(cookie)), fetchedAtMs: 0 };
  let isAccepted = false;
  return {
    get: async () => none,
    renew: async () => undefined,
    accepted() {
      isAccepted = true;
    },
    refusedAgain() {},
    wasAccepted: () => isAccepted,
    isProven: () => true,
    warmUp: async () => {},
  };
}

/** Credentials for one site. */
export function credentialSource(options: CredentialSourceOptions): CredentialSource {
  const { nonces, clock, holdOffMs, onSecret = () => {} } = options;
  const ownCookies = parseCookies(options.cookie);
  const store = options.store && credentialStore(options.store, nonces.place, clock);

  let current: Credentials | undefined;
  /** The one fetch that is under way. */
  let flight: Flight | undefined;
  /** What the last renewal has brought. */
  let renewedLast: Credentials | undefined;
  /** The credentials that the site accepted last. */
  let acceptedLast: Credentials | undefined;
  /** What the site accepted last, or its page had again when it was suspected. */
  let proven: { readonly credentials: Credentials; readonly atMs: number } | undefined;
  let heldOffUntilMs = 0;
  /** Since when the page can't be had, by both clocks. */
  let failing: { readonly atMs: number; readonly monotonicMs: number } | undefined;

  const ageMs = ({ fetchedAtMs }: Credentials) => clock.now() - fetchedAtMs;

  const adopt = ({ nonce, cookie, fetchedAtMs }: StoredCredentials): Credentials => {
    const cookies = { ...ownCookies, ...parseCookies(cookie) };
    for (const secret of [nonce, ...Object.values(cookies)]) onSecret(secret ?? "");
    current = { nonce, cookie: cookieHeader(cookies), fetchedAtMs };
    return current;
  };

  /** What the page says in place of a nonce holds nothing of a client's. */
  function reportFailure(error: unknown, log: Logger | undefined): void {
    const { code, message } = toApiError(error);
    failing ??= { atMs: clock.now(), monotonicMs: clock.monotonic() };
    log?.warn("page.failed", {
      code,
      reason: message,
      since: new Date(failing.atMs).toISOString(),
      next: "npm run doctor",
    });
  }

  async function fetchFromPage(refusal: Refusal | undefined, signal: AbortSignal, log: Logger | undefined) {
    const { nonce, cookies } = await nonces.fetch(signal).catch((error) => {
      if (!signal.aborted) reportFailure(error, log);
      throw error;
    });
    if (failing !== undefined)
      log?.warn("page.recovered", { failedMs: clock.monotonic() - failing.monotonicMs });
    failing = undefined;
    const cookie = refusal === "cookies" ? "" : cookieHeader(cookies);
    const fetched = { nonce, cookie, fetchedAtMs: clock.now() };
    // Only other instances need what is stored, so the request at hand does not wait for it.
    void store?.write(fetched, maxAgeMs, log);
    log?.debug("nonce.fetched", { renewal: refusal !== undefined });
    return adopt(fetched);
  }

  /** What another instance has stored, if it is newer than what has been refused here. */
  async function readStored(refused: Credentials | undefined, log: Logger | undefined) {
    const stored = await store?.read(log);
    if (stored === undefined || ageMs(stored) >= maxAgeMs) return undefined;
    if (refused !== undefined && stored.fetchedAtMs <= refused.fetchedAtMs) return undefined;
    return adopt(stored);
  }

  function start(
    refusal: Refusal | undefined,
    refused: Credentials | undefined,
    log: Logger | undefined,
  ): Flight {
    const work = async (signal: AbortSignal) => {
      const untilMs = clock.monotonic() + claimMs;
      while (store) {
        const stored = await readStored(refused, log);
        if (stored !== undefined && !(refused && isSame(stored, refused))) return stored;
        signal.throwIfAborted();
        if (clock.monotonic() >= untilMs || (await store.claim(claimMs, log))) break;
        await sleep(lookMs, { clock });
      }
      const fetched = await fetchFromPage(refusal, signal, log).catch((error) => {
        void store?.release(log);
        throw error;
      });
      if (refusal !== undefined) renewedLast = fetched;
      return fetched;
    };
    const onOver = () => {
      if (flight === started) flight = undefined;
    };
    const timeoutMessage = `The chat page took longer than ${pageLimitMs / 1000} s.`;
    const task = sharedTask(work, { clock, limitMs: pageLimitMs, timeoutMessage, onOver });
    const started: Flight = { ...task, refusal };
    flight = started;
    return started;
  }

  const holdOff = () => {
    // A later refusal does not make it longer, or steady traffic would make it endless.
    if (clock.monotonic() >= heldOffUntilMs) heldOffUntilMs = clock.monotonic() + holdOffMs;
  };

  /** What can be used without waiting: not what is being renewed, unless that is only suspected. */
  const atHand = (): Credentials | undefined => {
    const isRefused = flight?.refusal !== undefined && flight.refusal !== "suspected";
    return current !== undefined && ageMs(current) < maxAgeMs && !isRefused ? current : undefined;
  };

  function get({ signal, log }: CredentialContext): Promise<Credentials> {
    const credentials = atHand();
    if (credentials !== undefined) return Promise.resolve(credentials);
    return (flight ?? start(undefined, undefined, log)).join(signal);
  }

  const prove = (credentials: Credentials) => {
    proven = { credentials, atMs: clock.monotonic() };
  };

  return {
    get,

    async renew(used, refusal, { signal, log }) {
      // Another cookie alone is no reason to doubt what the site says of something else.
      const helps = (other: Credentials) =>
        refusal === "suspected" ? other.nonce !== used.nonce : !isSame(other, used);
      // A fetch that was not begun for a refusal may bring what the store has, which may be the refused nonce itself.
      if (flight !== undefined && flight.refusal === undefined) await flight.join(signal);
      if (current !== undefined && helps(current)) return current;
      if (clock.monotonic() < heldOffUntilMs) return undefined;
      try {
        const renewed = await (flight ?? start(refusal, used, log)).join(signal);
        if (helps(renewed)) return renewed;
        if (refusal === "suspected") prove(renewed);
        else holdOff();
        return undefined;
      } catch (error) {
        if (error instanceof ApiError && error.code === "upstream_nonce_unavailable") holdOff();
        throw error;
      }
    },

    accepted(used) {
      acceptedLast = used;
      prove(used);
    },

    refusedAgain(renewed) {
      if (renewedLast !== undefined && isSame(renewed, renewedLast)) holdOff();
    },

    wasAccepted: (used) => acceptedLast !== undefined && isSame(acceptedLast, used),

    isProven: (used) =>
      proven !== undefined && isSame(proven.credentials, used) && clock.monotonic() - proven.atMs <= provenMs,

    async warmUp(context) {
      await get({ signal: new AbortController().signal, ...context }).catch(() => {});
    },
  };
}
