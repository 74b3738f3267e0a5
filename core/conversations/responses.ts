/**
 * Answers that clients go on from by their ids. A stored one holds all that came before it, so that a turn costs one read
 * and one write however long its chain is, two turns that go on from the same one do not meet, and none of its forerunners
 * need be there any more.
 */
import { responseId, responseOfItem } from "../dialects/shared/response-ids.ts";
import { ApiError } from "../errors.ts";
import type {
  Answer,
  Caller,
  ChatMessage,
  Clock,
  JsonObject,
  Logger,
  ResponseMemory,
  SessionStore,
  StoredResponses,
} from "../types.ts";
import { createFairCache } from "../util/fair-cache.ts";
import { sha256Hex } from "../util/hash.ts";
import { StatelessTurn, type Turn } from "./conversations.ts";
import { storeUnavailable } from "./record-store.ts";
import {
  type Before,
  decodeItems,
  decodeResponse,
  encodeResponse,
  type Items,
  nothingBefore,
  type ResponseRecord,
} from "./response-record.ts";
import { ownerOf } from "./session-key.ts";
import type { BegunAnswer } from "./shared-answer.ts";

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
  /** `id` is that of the answer to come. Throws ApiError. */
  open(memory: ResponseMemory, caller: Caller, id: string): Promise<Turn<Begun>>;
}

/** What a turn goes on from. */
interface Opened {
  readonly before: Before;
  /** The items of the turns before. */
  readonly items: Items;
  readonly input: Items;
}

/** A stored response and all items up to its end. */
interface Found extends ResponseRecord {
  readonly items: Items;
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

/** A turn whose answer is kept. */
class KeptTurn<Begun extends BegunAnswer> extends StatelessTurn<Begun> {
  readonly #keep: (encode: () => string) => Promise<boolean>;

  constructor(
    messages: readonly ChatMessage[],
    openedMs: number,
    keep: (encode: () => string) => Promise<boolean>,
  ) {
    super(messages, openedMs);
    this.#keep = keep;
  }

  override finish(_answer: Answer, encode: () => string): Promise<boolean> {
    return this.#keep(encode);
  }
}

/** Keeps answers in a store. */
export function createResponses<Begun extends BegunAnswer>(options: ResponsesOptions): Responses<Begun> {
  const { store, clock, log, ttlMs, maxBytes } = options;

  /** What is stored under a key never changes. */
  const parsed = createFairCache<Items>({
    maxEntries: Number.POSITIVE_INFINITY,
    maxSize: maxParsedLength,
    clock,
  });

  const keepParsed = (key: string, items: Items, size: number, owner: string) => {
    if (size > maxShortLength) parsed.set(key, items, { owner, size });
  };

  const decode = (key: string, text: string, owner: string): Found | undefined => {
    const record = decodeResponse(text);
    const known = parsed.get(key);
    const items = known ?? (record && decodeItems(record));
    if (record === undefined || items === undefined) return undefined;
    if (known === undefined) keepParsed(key, items, text.length, owner);
    return { ...record, items };
  };

  const read = async (caller: Caller, id: string): Promise<Found | undefined> => {
    const key = await storeKey(caller, id);
    let text: string | undefined;
    try {
      text = (await store.get(key))?.value;
    } catch (cause) {
      throw storeUnavailable(cause);
    }
    if (text === undefined) return undefined;
    const found = decode(key, text, await ownerOf({ apiKey: caller.key }));
    if (found === undefined) log.warn("response.not_read", { store: store.name });
    // The store's own expiry may be late.
    return found !== undefined && found.head.expiresAtMs > clock.now() ? found : undefined;
  };

  /** The input with the items that its references stand for; those that stand among `before` are there already. */
  const resolve = async (caller: Caller, input: Items, before: Items): Promise<Items> => {
    if (!input.some(isReference)) return input;
    const told = new Set(before.map(({ id }) => id));
    const known = new Map<unknown, JsonObject>();
    // The newest first: an answer to references holds what they stood for, so that its record is mostly the only one.
    for (const { id } of input.filter(isReference).reverse()) {
      if (told.has(id) || known.has(id)) continue;
      const responseId = responseOfItem(String(id));
      const record = responseId === undefined ? undefined : await read(caller, responseId);
      for (const item of record?.items ?? []) known.set(item.id, item);
      if (known.has(id)) continue;
      const message = `Item with id '${String(id)}' not found. Items are not kept where \`store\` is false. ${notKept}`;
      throw new ApiError("response_not_found", message, { param: "input" });
    }
    return input.flatMap((item) => {
      if (!isReference(item)) return [item];
      return told.has(item.id) ? [] : [known.get(item.id) as JsonObject];
    });
  };

  const openChain = async ({ previous, input }: ResponseMemory, caller: Caller): Promise<Opened> => {
    if (previous === undefined)
      return { before: nothingBefore, items: [], input: await resolve(caller, input, []) };
    const found = await read(caller, previous);
    const param = "previous_response_id";
    if (found === undefined) {
      const message = `Previous response with id '${previous}' not found. ${notKept} Send the whole history instead.`;
      throw new ApiError("previous_response_not_found", message, { param });
    }
    const { head, lines, items } = found;
    if (head.depth >= maxDepth) {
      const message = `previous_response_id ends a chain of ${maxDepth} responses, the most there may be. Begin a new one.`;
      throw new ApiError("invalid_request", message, { param });
    }
    const before = { depth: head.depth, bytes: head.bytes, lines };
    return { before, items, input: await resolve(caller, input, items) };
  };

  /** Resolves to why an answer could not be kept; undefined if it was. */
  const keep = async (
    caller: Caller,
    id: string,
    { before, items, input }: Opened,
    body: string,
  ): Promise<string | undefined> => {
    const response = JSON.parse(body) as JsonObject & { readonly output: Items };
    const { text, bytes } = encodeResponse(before, input, response, clock.now() + ttlMs);
    if (bytes > maxBytes) return "too_long";
    const key = await storeKey(caller, responseId(id));
    const owner = await ownerOf({ apiKey: caller.key });
    try {
      await store.set(key, text, { ttlMs, owner });
    } catch (error) {
      return (error as Error).message;
    }
    keepParsed(key, [...items, ...input, ...response.output], text.length, owner);
    return undefined;
  };

  return {
    isKept: ({ store: keeps, previous, input }) => keeps || previous !== undefined || input.some(isReference),

    async open(memory, caller, id) {
      const opened = await openChain(memory, caller);
      const messages = memory.toMessages([...opened.items, ...opened.input]);
      if (!memory.store) return new StatelessTurn(messages, clock.now());
      return new KeptTurn(messages, clock.now(), async (encode) => {
        const reason = await keep(caller, id, opened, encode());
        if (reason !== undefined) log.warn("response.not_saved", { store: store.name, reason });
        return reason === undefined;
      });
    },

    async items(memory, caller) {
      const { items, input } = await openChain(memory, caller);
      return [...items, ...input];
    },

    async show(id, caller) {
      const found = await read(caller, id);
      if (found === undefined) throw notFound(id);
      const { head, items } = found;
      const outputAt = items.length - head.output;
      return {
        response: { ...head.response, output: items.slice(outputAt) },
        input: items.slice(outputAt - head.input, outputAt),
      };
    },

    async forget(id, caller) {
      if ((await read(caller, id)) === undefined) throw notFound(id);
      try {
        await store.delete(await storeKey(caller, id));
      } catch (cause) {
        throw storeUnavailable(cause);
      }
    },
  };
}
