/** A nonce and its cookies, shared by all instances of the gateway through the session store. */
import type { Clock, Logger, SessionStore } from "../../types.ts";

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
  write(credentials: StoredCredentials, ttlMs: number, log: Logger | undefined): Promise<void>;
}

/** A store that hangs is not waited for. */
const patienceMs = 2_000;

export function credentialStore(store: SessionStore, pageUrl: string, clock: Clock): CredentialStore {
  let key: Promise<string> | undefined;

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
      key ??= storeKey(pageUrl);
      return await Promise.race([key.then(run), tooSlow]);
    } catch (error) {
      log?.warn("nonce not shared", { operation, store: store.name, error: String(error) });
      return undefined;
    } finally {
      cancelTimer();
    }
  };

  return {
    read: (log) => patiently("read", log, async (key) => parseStored((await store.get(key))?.value)),
    async write(credentials, ttlMs, log) {
      await patiently("write", log, (key) => store.set(key, JSON.stringify(credentials), { ttlMs }));
    },
  };
}

async function storeKey(pageUrl: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(pageUrl));
  const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0"));
  return `kimi-web:${hex.join("")}`;
}

function parseStored(text: string | undefined): StoredCredentials | undefined {
  if (text === undefined) return undefined;
  const { nonce, cookie, fetchedAtMs } = JSON.parse(text);
  const isSound =
    typeof nonce === "string" && nonce !== "" && typeof cookie === "string" && Number.isFinite(fetchedAtMs);
  return isSound ? { nonce, cookie, fetchedAtMs } : undefined;
}
