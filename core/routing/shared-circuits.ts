/** Tells other instances which circuits are open, and learns it from them; through the store, and never in a request's way. */
import { type ErrorCode, errorTable } from "../errors.ts";
import type { Clock, SessionStore } from "../types.ts";
import { sha256Hex } from "../util/hash.ts";
import { isRecord, tryParseJson } from "../util/json.ts";

/** An upstream's circuits for one model. */
export interface CircuitPlace {
  readonly provider: string;
  readonly model: string;
}

export interface OpenCircuit {
  readonly code: ErrorCode;
  /** How much longer it is open. */
  readonly ms: number;
}

export interface SharedCircuits {
  /** The circuits in a caller's way that some instance has opened. Never rejects: a store that fails knows of none. */
  find(
    place: CircuitPlace,
    caller: string,
  ): Promise<{ readonly common?: OpenCircuit | undefined; readonly own?: OpenCircuit | undefined }>;
  /** `caller` is undefined for the common circuit. Never rejects. */
  opened(place: CircuitPlace, caller: string | undefined, circuit: OpenCircuit): Promise<void>;
  closed(place: CircuitPlace, caller: string | undefined): Promise<void>;
}

interface Entry {
  readonly code: ErrorCode;
  /** Milliseconds since the epoch. */
  readonly untilMs: number;
}

type Entries = Readonly<Record<string, Entry>>;

/** As long as the longest pause of a circuit: what lasts longer comes from a clock that is wrong. */
const longestMs = 300_000;
/** Callers whose circuits are told of, for each upstream and model. */
const maxEntries = 100;
/** Instances that open a circuit do so at the same time. */
const maxRounds = 5;

const isEntry = (value: unknown): value is Entry =>
  isRecord(value) &&
  typeof value.code === "string" &&
  Object.hasOwn(errorTable, value.code) &&
  value.code.startsWith("upstream_") &&
  Number.isFinite(value.untilMs);

/** The name of the circuit of all callers. */
const common = "common";

const nameOfCaller = (caller: string | undefined): Promise<string> =>
  caller === undefined ? Promise.resolve(common) : sha256Hex(`circuit ${caller}`);

export function createSharedCircuits({
  store,
  clock,
}: {
  readonly store: Pick<SessionStore, "get" | "set">;
  readonly clock: Pick<Clock, "now">;
}): SharedCircuits {
  const keyOf = async ({ provider, model }: CircuitPlace): Promise<string> =>
    `circuit:${await sha256Hex(`${provider}\n${model}`)}`;

  /** Those that are still open. */
  const read = (text: string | undefined): Entries => {
    const entries = text === undefined ? undefined : tryParseJson(text);
    if (!isRecord(entries)) return {};
    const open = Object.entries(entries).filter(
      (entry): entry is [string, Entry] => isEntry(entry[1]) && entry[1].untilMs > clock.now(),
    );
    const isCommon = ([name]: readonly [string, Entry]) => name === common;
    // The common circuit stands for all callers: it is never the one that has no room.
    const kept = [...open.filter(isCommon), ...open.filter((entry) => !isCommon(entry))];
    return Object.fromEntries(kept.slice(0, maxEntries));
  };

  const asOpen = (entry: Entry | undefined): OpenCircuit | undefined =>
    entry && { code: entry.code, ms: Math.min(entry.untilMs - clock.now(), longestMs) };

  const change = async (place: CircuitPlace, edit: (entries: Entries) => Entries): Promise<void> => {
    const key = await keyOf(place);
    for (let rounds = 0; rounds < maxRounds; rounds++) {
      const stored = await store.get(key);
      const value = JSON.stringify(edit(read(stored?.value)));
      const options = { ttlMs: longestMs, ifVersion: stored?.version ?? null };
      if ((stored?.value ?? "{}") === value || (await store.set(key, value, options)) !== undefined) return;
    }
  };

  /** The store's own failures are logged where it is watched. */
  const harmless = (task: Promise<void>): Promise<void> => task.catch(() => {});

  return {
    async find(place, caller) {
      try {
        const entries = read((await store.get(await keyOf(place)))?.value);
        return {
          common: asOpen(entries[await nameOfCaller(undefined)]),
          own: asOpen(entries[await nameOfCaller(caller)]),
        };
      } catch {
        return {};
      }
    },
    async opened(place, caller, { code, ms }) {
      const name = await nameOfCaller(caller);
      const entry = { code, untilMs: clock.now() + ms };
      await harmless(change(place, (entries) => ({ ...entries, [name]: entry })));
    },
    async closed(place, caller) {
      const name = await nameOfCaller(caller);
      await harmless(change(place, ({ [name]: _, ...others }) => others));
    },
  };
}
