/** A nonce and its cookies, shared by all instances of the gateway through the session store. */
import type { Clock, Logger, SessionStore } from "../../../types.ts";
import { sha256Hex } from "../../../util/hash.ts";

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

export function credentialStore(store: SessionStore, pageUrl: string, clock: Clock): CredentialStore {
  let key: Promise<string> | undefined;
  let hasFailed = false;

  const patiently = async <Result>(
    operation: string,
    log: Logger | undefined,
    run: (key: string) => Result | Promise<Result>,
  ): Promise<Result | undefined> => {
    let cancelTimer = () => {};
    const tooSlow = new Promise<never>((_, reject) => {
      cancelTimer = clock.schedule(() => reject(new Error("timed out")), patienceMs);
    });
    try {
      key ??= sha256Hex(pageUrl).then((hash) => `kimi-web:${hash}`);
      const result = await Promise.race([key.then(run), tooSlow]);
      hasFailed = false;
      return result;
    } catch (error) {
      hasFailed = true;
      log?.warn("nonce not shared", { operation, store: store.name, error: String(error) });
      return undefined;
    } finally {
      cancelTimer();
    }
  };

  return {
    read: (log) => patiently("read", log, async (key) => parseStored((await store.get(key))?.value)),
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

function parseStored(text: string | undefined): StoredCredentials | undefined {
  if (text === undefined) return undefined;
  const { nonce, cookie, fetchedAtMs } = JSON.parse(text);
  const isSound =
    typeof nonce === "string" && nonce !== "" && typeof cookie === "string" && Number.isFinite(fetchedAtMs);
  return isSound ? { nonce, cookie, fetchedAtMs } : undefined;
}
