/** A nonce and its cookies, shared by all instances of the gateway through the session store. */
import type { Clock, Logger, SessionStore } from "../../../types.ts";
import { sha256Hex } from "../../../util/hash.ts";
import { isRecord, tryParseJson } from "../../../util/json.ts";
import { withTimeout } from "../../../util/time.ts";
import { isUsableNonce } from "./page.ts";

/** What instances tell each other. */
export interface StoredCredentials {
  readonly nonce: string;
  /** The cookies that the site has set, as a `Cookie` header. */
  readonly cookie: string;
  /** Milliseconds since the epoch. */
  readonly fetchedAtMs: number;
}

export interface CredentialStore {
  /** Undefined when there are none, and when the store fails: it only saves time. */
  read(log: Logger | undefined): Promise<StoredCredentials | undefined>;
  /** Tells the others, and gives the claim back. */
  write(credentials: StoredCredentials, ttlMs: number, log: Logger | undefined): Promise<void>;
  /** Whether this instance is the one that fetches: of those that need to, one, unless that can't be agreed on. */
  claim(ttlMs: number, log: Logger | undefined): Promise<boolean>;
  release(log: Logger | undefined): Promise<void>;
}

/** A store that hangs is not waited for. */
const patienceMs = 2_000;
/** How far the clocks of two instances may be apart. */
const maxClockSkewMs = 60_000;

export function credentialStore(store: SessionStore, place: string, clock: Clock): CredentialStore {
  let key: Promise<string> | undefined;
  let hasFailed = false;

  const patiently = async <Result>(
    operation: string,
    log: Logger | undefined,
    run: (key: string) => Result | Promise<Result>,
  ): Promise<Result | undefined> => {
    try {
      key ??= sha256Hex(place).then((hash) => `wordpress-chat:${hash}`);
      const result = await withTimeout(key.then(run), patienceMs, {
        clock,
        error: () => new StoreFault("timed out"),
      });
      hasFailed = false;
      return result;
    } catch (error) {
      hasFailed = true;
      log?.warn("nonce.not_shared", { operation, store: store.name, reason: reasonOf(error) });
      return undefined;
    }
  };

  return {
    read: (log) =>
      patiently("read", log, async (key) => {
        const stored = await store.get(key);
        return stored && readRecord(stored.value, clock.now());
      }),
    async write(credentials, ttlMs, log) {
      await patiently("write", log, async (key) => {
        await store.set(key, JSON.stringify(credentials), { ttlMs });
        if (store.shared) await store.delete(claimKey(key));
      });
    },
    async claim(ttlMs, log) {
      if (!store.shared || hasFailed) return true;
      const claimed = await patiently("claim", log, async (key) => {
        return (await store.set(claimKey(key), "claimed", { ttlMs, ifVersion: null })) !== undefined;
      });
      return claimed ?? true;
    },
    async release(log) {
      if (store.shared && !hasFailed) await patiently("release", log, (key) => store.delete(claimKey(key)));
    },
  };
}

const claimKey = (key: string): string => `${key}:claim`;

/** Reads a record that anything may have written. Throws an error that does not repeat it. */
function readRecord(text: string, nowMs: number): StoredCredentials {
  const record = tryParseJson(text);
  const { nonce, cookie, fetchedAtMs } = isRecord(record) ? record : {};
  const isSound =
    typeof nonce === "string" &&
    isUsableNonce(nonce) &&
    typeof cookie === "string" &&
    typeof fetchedAtMs === "number" &&
    fetchedAtMs > 0 &&
    fetchedAtMs <= nowMs + maxClockSkewMs;
  if (!isSound) throw new StoreFault("the stored record can't be used");
  return { nonce, cookie, fetchedAtMs };
}

/** A failure in our own words. */
class StoreFault extends Error {}

/** Others' error texts may quote the record, which is secret; so only their names and codes are shown. */
function reasonOf(error: unknown): string {
  if (error instanceof StoreFault) return error.message;
  if (!(error instanceof Error)) return "unknown";
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" && /^\w{1,40}$/.test(code) ? `${error.name} ${code}` : error.name;
}
