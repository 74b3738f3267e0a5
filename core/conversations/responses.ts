/**
 * Answers that clients go on from by their ids. A stored one holds all that came before it, so that a turn costs one read
 * and one write however long its chain is, two turns that go on from the same one do not meet, and none of its forerunners
 * need be there any more. Of one that its upstream keeps, only that is noted, so that whoever may see it is led there.
 */
import { responseId, responseOfItem } from "../dialects/shared/response-ids.ts";
import { ApiError } from "../errors.ts";
import type {
  AnswerRecord,
  Caller,
  ChatMessage,
  Clock,
  HeldBy,
  JsonObject,
  Logger,
  NativeResponseEvent,
  ResponseMemory,
  SessionStore,
  StoredResponses,
} from "../types.ts";
import { createFairCache } from "../util/fair-cache.ts";
import { sha256Hex } from "../util/hash.ts";
import { isRecord } from "../util/json.ts";
import { type Chain, settle, transcriptOf, unsettled } from "./chain.ts";
import { StatelessTurn, type Turn } from "./conversations.ts";
import { storeUnavailable } from "./record-store.ts";
import {
  type Before,
  decodeItems,
  decodeResponse,
  encodeHeld,
  encodeResponse,
  type HeldRecord,
  type Items,
  nothingBefore,
  type ResponseRecord,
} from "./response-record.ts";
import { ownerOf } from "./session-key.ts";
import type { BegunAnswer } from "./shared-answer.ts";
import { Transcript } from "./transcript.ts";

export interface ResponsesOptions {
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long an answer is kept, in milliseconds. */
  readonly ttlMs: number;
  /** The most that one may have with all that came before it, in bytes of UTF-8. */
  readonly maxBytes: number;
}

export interface Responses<Begun extends BegunAnswer> extends StoredResponses {
  /** Whether the store is needed. */
  isKept(memory: ResponseMemory): boolean;
  /** Throws ApiError. */
  open(memory: ResponseMemory, caller: Caller, opening: ResponseOpening): Promise<Turn<Begun>>;
}

export interface ResponseOpening {
  /** The answer's, of 32 hexadecimal digits. */
  readonly id: string;
  /** The model that was asked for. */
  readonly model: string;
  /** What the request itself brings, as the model reads it. */
  readonly messages: readonly ChatMessage[];
}

/** What a turn goes on from. */
interface Opened {
  readonly heldBy?: HeldBy | undefined;
  readonly before: Before;
  /** The turns before. */
  readonly chain: Chain;
  readonly input: Items;
}

/** What a turn needs of a stored response. */
interface Stored {
  readonly expiresAtMs: number;
  /** What the next response comes after. */
  readonly before: Before;
  /** All items up to its end. */
  readonly chain: Chain;
}

const isHeld = (found: Stored | HeldRecord | undefined): found is HeldRecord =>
  found !== undefined && "provider" in found;

/** What references stand for: items that are kept here, by their ids, and providers whose upstreams keep the others. */
interface Referred {
  readonly items: ReadonlyMap<unknown, JsonObject>;
  readonly providers: ReadonlySet<string>;
}

/** The most answers that a chain may have. */
const maxDepth = 2000;

/** Up to this length, in characters, a response is parsed faster than it is kept. */
const maxShortLength = 4096;
/** How many characters of longer ones are kept parsed: the next turn of a chain mostly comes to the same process. */
const maxParsedLength = 4 * 1024 * 1024;

const isReference = ({ type }: JsonObject): boolean => type === "item_reference";

/** Ids and API keys are hashed, so that the store shows neither. */
const storeKey = async ({ key }: Caller, id: string): Promise<string> =>
  `response:${await sha256Hex(JSON.stringify([key, id]))}`;

const notKept = "It may have expired, been deleted, been too long to be kept, or belong to another API key.";

const notFound = (id: string): ApiError =>
  new ApiError("response_not_found", `Response with id '${id}' not found. ${notKept}`);

const empty = unsettled([]);

const here: HeldBy = { kind: "gateway" };

type Keep = Turn<BegunAnswer>["finish"];

/** A turn whose answer is kept. */
class KeptTurn<Begun extends BegunAnswer> extends StatelessTurn<Begun> {
  override readonly finish: Keep;

  constructor(transcript: Transcript, openedMs: number, heldBy: HeldBy | undefined, keep: Keep) {
    super(transcript, openedMs, heldBy);
    this.finish = keep;
  }
}

/** Keeps answers in a store. */
export function createResponses<Begun extends BegunAnswer>(options: ResponsesOptions): Responses<Begun> {
  const { store, clock, log, ttlMs, maxBytes } = options;

  /** What is stored under a key never changes. */
  const parsed = createFairCache<Stored>({
    maxEntries: Number.POSITIVE_INFINITY,
    maxSize: maxParsedLength,
    clock,
  });

  const keepParsed = (key: string, stored: Stored, size: number, owner: string) => {
    if (size > maxShortLength) parsed.set(key, stored, { owner, size });
  };

  /** Throws ApiError session_store_unavailable. */
  const load = async (key: string): Promise<string | undefined> => {
    try {
      return (await store.get(key))?.value;
    } catch (cause) {
      throw storeUnavailable(cause);
    }
  };

  /** `id` is the one that was asked for: a store, or a client of one, may hand out another answer's record. */
  const decode = (
    text: string,
    id: string,
  ): (ResponseRecord & { readonly items: Items }) | HeldRecord | undefined => {
    const record = decodeResponse(text);
    if (record === undefined || "provider" in record) return record;
    if (record.head.response.id !== id) return undefined;
    const items = decodeItems(record);
    return items && { ...record, items };
  };

  /** The store's own expiry may be late. */
  const isOver = ({ expiresAtMs }: { readonly expiresAtMs: number }): boolean => expiresAtMs <= clock.now();

  const reportUnread = () => log.warn("response.not_read", { store: store.name });

  const read = async (caller: Caller, id: string): Promise<Stored | HeldRecord | undefined> => {
    const key = await storeKey(caller, id);
    const text = await load(key);
    if (text === undefined) return undefined;
    const known = parsed.get(key);
    if (known !== undefined) return isOver(known) ? undefined : known;
    const record = decode(text, id);
    if (record === undefined) reportUnread();
    if (record === undefined || isOver("provider" in record ? record : record.head)) return undefined;
    if ("provider" in record) return record;
    const { head, lines, items } = record;
    const { expiresAtMs, depth, bytes } = head;
    const stored = { expiresAtMs, before: { depth, bytes, lines }, chain: unsettled(items) };
    keepParsed(key, stored, text.length, await ownerOf(caller.key));
    return stored;
  };

  /** What references stand for. Throws ApiError response_not_found. */
  const resolve = async (caller: Caller, references: Items): Promise<Referred> => {
    const items = new Map<unknown, JsonObject>();
    const providers = new Set<string>();
    const others: string[] = [];
    // The newest first: an answer to references holds what they stood for, so that its record is mostly the only one.
    for (const { id } of references.toReversed()) {
      if (items.has(id)) continue;
      const responseId = responseOfItem(String(id));
      const found = responseId === undefined ? undefined : await read(caller, responseId);
      if (isHeld(found)) providers.add(found.provider);
      else for (const item of found?.chain.items ?? []) items.set(item.id, item);
      if (!isHeld(found) && !items.has(id)) others.push(String(id));
    }
    const noteHolder = async (id: string): Promise<void> => {
      const found = await read(caller, id);
      if (!isHeld(found)) {
        const message = `Item with id '${id}' not found. Items are not kept where \`store\` is false. ${notKept}`;
        throw new ApiError("response_not_found", message, { param: "input" });
      }
      providers.add(found.provider);
    };
    await Promise.all(others.map(noteHolder));
    return { items, providers };
  };

  /** Throws ApiError. */
  const readPrevious = async (caller: Caller, id: string): Promise<Stored | HeldRecord> => {
    const found = await read(caller, id);
    const param = "previous_response_id";
    if (found === undefined) {
      const message = `Previous response with id '${id}' not found. ${notKept} Send the whole history instead.`;
      throw new ApiError("previous_response_not_found", message, { param });
    }
    if (!isHeld(found) && found.before.depth >= maxDepth) {
      const message = `previous_response_id ends a chain of ${maxDepth} responses, the most there may be. Begin a new one.`;
      throw new ApiError("invalid_request", message, { param });
    }
    return found;
  };

  /** Throws ApiError. */
  const openChain = async ({ previous, input }: ResponseMemory, caller: Caller): Promise<Opened> => {
    const found = previous === undefined ? undefined : await readPrevious(caller, previous);
    const references = input.filter(isReference);
    if (found === undefined && references.length === 0) return { before: nothingBefore, chain: empty, input };

    const stored = isHeld(found) ? undefined : found;
    const chain = stored?.chain ?? empty;
    const told = references.length > 0 ? new Set(chain.items.map(({ id }) => id)) : undefined;
    const referred = await resolve(
      caller,
      references.filter(({ id }) => !told?.has(id)),
    );
    const providers = new Set(referred.providers);
    if (isHeld(found)) providers.add(found.provider);
    const [provider] = providers;
    const isAnyHere = stored !== undefined || referred.items.size > 0;
    if (provider === undefined) {
      const resolved = input.flatMap((item) => {
        if (!isReference(item)) return [item];
        return told?.has(item.id) ? [] : [referred.items.get(item.id) as JsonObject];
      });
      return { before: stored?.before ?? nothingBefore, chain, input: resolved, heldBy: here };
    }
    if (isAnyHere || providers.size > 1) {
      const message =
        "input refers to items that are kept in different places. Send the items themselves instead of references.";
      throw new ApiError("invalid_request", message, { param: "input" });
    }
    const param = isHeld(found) ? "previous_response_id" : "input";
    return { before: nothingBefore, chain, input, heldBy: { kind: "upstream", provider, param } };
  };

  /** Resolves to why an answer could not be kept; undefined if it was. */
  const keep = async (
    caller: Caller,
    id: string,
    { before, chain, input }: Opened,
    record: AnswerRecord | undefined,
    identify: ResponseMemory["identify"],
  ): Promise<string | undefined> => {
    if (record === undefined) return "no_record";
    const identified = identify(input, id);
    const expiresAtMs = clock.now() + ttlMs;
    const { text, textBytes, after } = encodeResponse(before, identified, record, expiresAtMs);
    if (textBytes > maxBytes) return "too_long";
    const key = await storeKey(caller, responseId(id));
    const owner = await ownerOf(caller.key);
    await store.set(key, text, { ttlMs, owner });
    const items = [...chain.items, ...identified, ...(record.output as Items)];
    keepParsed(key, { expiresAtMs, before: after, chain: { ...chain, items } }, text.length, owner);
    return undefined;
  };

  /** Notes which upstream keeps a response and its items. */
  const noteHeld = async (
    caller: Caller,
    model: string,
    { provider, isWhole, event }: NativeResponseEvent,
  ): Promise<undefined> => {
    const response = isWhole ? event : (event.response as JsonObject);
    if (response.store === false) return;
    const output = Array.isArray(response.output) ? response.output : [];
    // An item of another gateway is found by its response.
    const isNoted = (id: unknown): id is string =>
      typeof id === "string" && id !== "" && responseOfItem(id) !== response.id;
    const ids = [response.id, ...output.map((item) => isRecord(item) && item.id)].filter(isNoted);
    const text = encodeHeld({ provider, model, expiresAtMs: clock.now() + ttlMs });
    const owner = await ownerOf(caller.key);
    await Promise.all(ids.map(async (id) => store.set(await storeKey(caller, id), text, { ttlMs, owner })));
  };

  return {
    isKept: ({ store: keeps, previous, input }) => keeps || previous !== undefined || input.some(isReference),

    async open(memory, caller, { id, model, messages: sent }) {
      const found = await openChain(memory, caller);
      const { heldBy } = found;
      const opened = { ...found, chain: settle(found.chain, found.input, memory.toMessages) };
      const transcript =
        heldBy?.kind === "gateway" ? transcriptOf(opened.chain, opened.input, memory) : new Transcript(sent);
      if (!memory.store) return new StatelessTurn(transcript, clock.now(), heldBy);
      return new KeptTurn(transcript, clock.now(), heldBy, async ({ native }, record) => {
        let reason: string | undefined;
        try {
          reason = await (native?.format === "responses"
            ? noteHeld(caller, model, native)
            : keep(caller, id, opened, record(), memory.identify));
        } catch (error) {
          reason = (error as Error).message;
        }
        if (reason !== undefined) log.warn("response.not_saved", { store: store.name, reason });
        return reason === undefined;
      });
    },

    async items(memory, caller) {
      const { chain, input, heldBy } = await openChain(memory, caller);
      return { items: [...chain.items, ...input], heldBy };
    },

    async find(id, caller) {
      const text = await load(await storeKey(caller, id));
      const found = text === undefined ? undefined : decode(text, id);
      if (text !== undefined && found === undefined) reportUnread();
      if (found === undefined || isOver("provider" in found ? found : found.head)) throw notFound(id);
      if ("provider" in found) return { kind: "held", provider: found.provider, model: found.model };
      const { head, items } = found;
      const outputAt = items.length - head.output;
      return {
        kind: "stored",
        response: { ...head.response, output: items.slice(outputAt) },
        input: items.slice(outputAt - head.input, outputAt),
      };
    },

    async forget(id, caller) {
      try {
        await store.delete(await storeKey(caller, id));
      } catch (cause) {
        throw storeUnavailable(cause);
      }
    },
  };
}
