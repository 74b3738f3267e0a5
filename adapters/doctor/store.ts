/** The store of the conversations: opened as a server would, then written, read and deleted. */

import type { Config } from "../../core/config/config.ts";
import { silentLogger } from "../../core/operations/log.ts";
import { openStore } from "../../core/stores/open-store.ts";
import type { StoreName } from "../../core/stores/settings.ts";
import type { Fetch, LogFields, SessionStore } from "../../core/types.ts";
import { systemClock } from "../../core/util/time.ts";
import { storeDrivers } from "../store-drivers.ts";
import { storeAdvice } from "./advice.ts";
import { bad, type Finding, good, warning, wordsOf } from "./finding.ts";

const step = "store";
const probeTtlMs = 60_000;

async function probe(store: SessionStore): Promise<void> {
  const key = `doctor:${crypto.randomUUID()}`;
  const version = await store.set(key, "probe", { ttlMs: probeTtlMs, ifVersion: null });
  if (version === undefined) throw new Error("a new key was refused");
  const stored = await store.get(key);
  if (stored?.value !== "probe") throw new Error("what was written can't be read");
  if ((await store.set(key, "again", { ttlMs: probeTtlMs, ifVersion: null })) !== undefined) {
    throw new Error("a write that had a condition was made without it");
  }
  await store.delete(key);
}

export async function* examineStore(
  settings: Config["sessions"],
  preferred: readonly StoreName[],
  fetch: Fetch,
): AsyncGenerator<Finding> {
  const startedMs = performance.now();
  const warnings: Finding[] = [];
  const warn = (_event: string, { reason }: LogFields = {}) => {
    if (typeof reason !== "string") return;
    warnings.push(
      warning(step, reason, {
        means: "conversations are kept in memory instead, and are lost at a restart",
        change: "SESSION_STORE, to say which store it must be",
      }),
    );
  };
  let store: SessionStore;
  try {
    store = await openStore({
      settings,
      drivers: storeDrivers,
      preferred,
      hosted: false,
      clock: systemClock,
      fetch,
      log: { ...silentLogger, warn },
    });
  } catch (error) {
    const advice = storeAdvice[settings.store ?? ""];
    yield bad(step, wordsOf(error), {
      means: "a server would not start",
      change: advice?.change ?? "SESSION_STORE",
    });
    return;
  }
  yield* warnings;
  const ms = () => performance.now() - startedMs;
  try {
    await probe(store);
    const kept = store.shared ? "what other instances see too" : "for this process only";
    yield good(step, `${store.name}: written, read and deleted; ${kept}`, ms());
  } catch (error) {
    const advice = storeAdvice[store.name] ?? { means: "the store does not work", change: "SESSION_STORE" };
    yield bad(step, `${store.name}: ${wordsOf(error)}`, advice, ms());
  } finally {
    await store.close?.();
  }
}
