/** What a turn asks of each store, and what a conversation takes there, measured in this process. */
import { Database } from "bun:sqlite";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storeDrivers } from "../../adapters/store-drivers.ts";
import { parseConfig } from "../../core/config/config.ts";
import {
  Conversations,
  createHandler,
  type DenoKv,
  type DurableObjectState,
  denoKvStore,
  durableObjectStore,
  type Handler,
  memoryStore,
  netlifyBlobsStore,
  openAiCompatible,
  redisRestStore,
  redisStore,
  type SessionStore,
  sqliteStore,
} from "../../handler.ts";
import { blobsServer } from "../../test/fakes/blobs-server.ts";
import { upstashBridge } from "../../test/fakes/upstash-bridge.ts";
import { type RedisServer, redisServer } from "../../test/support/redis-server.ts";
import type { Shape } from "./arithmetic.ts";
import { sizedModel, sizedQuestion } from "./upstream.ts";

/** Requests to the store in a turn, and the rows of a Durable Object that they touch. */
export interface StoreCost {
  readonly reads: number;
  readonly writes: number;
  readonly rowsRead?: number;
  readonly rowsWritten?: number;
  /** What a conversation takes in the store; absent where this machine can't tell. */
  readonly bytes?: number;
}

/** Counters that a store's driver raises. */
interface Counts {
  reads: number;
  writes: number;
  rowsRead: number;
  rowsWritten: number;
}

interface Subject {
  readonly store: SessionStore;
  readonly counts: Counts;
  /** The bytes of all that is stored. */
  bytes?(): Promise<number>;
  close?(): unknown;
}

const noCounts = (): Counts => ({ reads: 0, writes: 0, rowsRead: 0, rowsWritten: 0 });

/** Files are told to write down what they hold back, and are measured with all that belongs to them. */
const filesBytes = async (path: string): Promise<number> => {
  const sizes = ["", "-wal", "-shm"].map((end) =>
    stat(path + end).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size);
};

const utf8 = (text: string): number => Buffer.byteLength(text);

function counted(store: SessionStore, counts: Counts): SessionStore {
  return {
    ...store,
    get(key) {
      counts.reads++;
      return store.get(key);
    },
    set(key, value, options) {
      counts.writes++;
      return store.set(key, value, options);
    },
    delete: (key) => store.delete(key),
  };
}

const memory = (): Subject => {
  const counts = noCounts();
  return { store: counted(memoryStore({ maxEntries: 100_000 }), counts), counts };
};

const sqlite = (folder: string): Subject => {
  const counts = noCounts();
  const path = join(folder, "sessions.sqlite");
  const database = new Database(path);
  return {
    store: counted(sqliteStore({ database }), counts),
    counts,
    async bytes() {
      database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      return filesBytes(path);
    },
    close: () => database.close(),
  };
};

const denoKv = async (folder: string): Promise<Subject> => {
  const counts = noCounts();
  const path = join(folder, "kv.sqlite");
  const kv = (await storeDrivers.openKv?.(path)) as DenoKv;
  const counting: DenoKv = {
    list(selector) {
      counts.reads++;
      return kv.list(selector);
    },
    atomic() {
      counts.writes++;
      return kv.atomic();
    },
    close: () => kv.close(),
  };
  return {
    store: denoKvStore({ kv: counting }),
    counts,
    async bytes() {
      // Only this connection knows what is in the log of writes; another one brings it into the file.
      const database = new Database(path);
      database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      database.close();
      return filesBytes(path);
    },
    close: () => kv.close(),
  };
};

const durableObject = (): Subject => {
  const counts = noCounts();
  const objects = new Map<string, { object: Conversations; rows: Map<string, unknown> }>();
  const open = (name: string) => {
    const rows = new Map<string, unknown>();
    const storage: DurableObjectState["storage"] = {
      kv: {
        get(key) {
          counts.rowsRead++;
          return rows.get(key);
        },
        put(key, value) {
          counts.rowsWritten++;
          rows.set(key, value);
        },
        delete(key) {
          counts.rowsWritten++;
          return rows.delete(key);
        },
      },
      transactionSync: (task) => task(),
      async setAlarm() {
        counts.rowsWritten++;
      },
      async deleteAlarm() {},
      async deleteAll() {
        rows.clear();
      },
    };
    const opened = { object: new Conversations({ storage }), rows };
    objects.set(name, opened);
    return opened;
  };
  return {
    store: durableObjectStore({
      namespace: {
        idFromName: (name) => name,
        get: (id) => ({
          fetch(url, init) {
            counts[init.method === "GET" ? "reads" : "writes"]++;
            return (objects.get(id as string) ?? open(id as string)).object.fetch(new Request(url, init));
          },
        }),
      },
    }),
    counts,
    async bytes() {
      const rows = [...objects.values()].flatMap((each) => [...each.rows.values()]);
      return rows.reduce<number>(
        (sum, row) => sum + (row instanceof Uint8Array ? row.length : utf8(JSON.stringify(row))),
        0,
      );
    },
  };
};

const netlifyBlobs = (): Subject => {
  const counts = noCounts();
  const server = blobsServer();
  const sizes = new Map<string, number>();
  return {
    store: netlifyBlobsStore({
      context: () => server.context,
      // No write sweeps; docs/scale.md tells what sweeps add.
      random: () => 0.999,
      fetch(url, init) {
        counts[init?.method === "PUT" ? "writes" : "reads"]++;
        if (init?.method === "PUT") sizes.set(String(url), utf8(String(init.body)));
        return fetch(url, init);
      },
    }),
    counts,
    bytes: async () => [...sizes.values()].reduce((sum, size) => sum + size, 0),
    close: () => server.stop(),
  };
};

/** A connection of its own to ask Redis what it holds. */
const redisBytes = async (url: string): Promise<number> => {
  const client = new Bun.RedisClient(url);
  const keys: string[] = await client.send("KEYS", ["*"]);
  const sizes = await Promise.all(keys.map((key) => client.send("MEMORY", ["USAGE", key])));
  client.close();
  return sizes.reduce((sum: number, size) => sum + Number(size), 0);
};

const redis = async ({ url }: RedisServer): Promise<Subject> => {
  const counts = noCounts();
  const connect = await (await storeDrivers.loadRedis?.(url))?.();
  if (connect === undefined) throw new Error("no client for Redis");
  const connection = {
    send(command: string, args: string[]) {
      counts[command === "GET" ? "reads" : "writes"]++;
      return connect.send(command, args);
    },
    close: () => connect.close(),
  };
  return {
    store: redisStore({ connect: async () => connection }),
    counts,
    bytes: () => redisBytes(url),
    close: () => connection.close(),
  };
};

const redisRest = async ({ url }: RedisServer): Promise<Subject> => {
  const bridge = await upstashBridge(url);
  const counts = noCounts();
  return {
    store: redisRestStore({ url: bridge.url, token: bridge.token }),
    get counts() {
      for (const [command, count] of bridge.commands) {
        if (command === "GET") counts.reads = count;
        else counts.writes = count;
      }
      return counts;
    },
    bytes: () => redisBytes(url),
    close: () => bridge[Symbol.asyncDispose](),
  };
};

const handlerBefore = (upstream: string, store: SessionStore): Handler =>
  createHandler({
    config: parseConfig({ API_MASTER_KEY: "sk-scale", LOG_LEVEL: "silent" }),
    providers: [openAiCompatible({ name: "sized", baseUrl: upstream, models: [sizedModel] })],
    store,
  });

async function ask(handler: Handler, path: string, body: object, session?: string): Promise<Response> {
  const request = new Request(`http://127.0.0.1${path}`, {
    method: "POST",
    headers: { authorization: "Bearer sk-scale", ...(session && { "x-session-id": session }) },
    body: JSON.stringify(body),
  });
  const response = await handler.fetch(request);
  if (response.status !== 200) throw new Error(`${path}: status ${response.status}`);
  return response;
}

/** Has so many conversations of that shape; resolves to the bytes of the last one's record. */
async function converse(
  subject: Subject,
  upstream: string,
  shape: Shape,
  conversations: number,
): Promise<number> {
  let recordBytes = 0;
  const store: SessionStore = {
    ...subject.store,
    set(key, value, options) {
      recordBytes = utf8(value);
      return subject.store.set(key, value, options);
    },
  };
  const handler = handlerBefore(upstream, store);
  const content = sizedQuestion(shape.questionBytes, shape.answerBytes);
  for (let turn = 0; turn < conversations * shape.turns; turn++) {
    const body = { model: sizedModel, messages: [{ role: "user", content }] };
    await (await ask(handler, "/v1/chat/completions", body, `scale-${turn % conversations}`)).text();
  }
  return recordBytes;
}

/** The bytes that each answer of the Responses API is kept with, on average, in a conversation of that shape. */
export async function measureResponses(upstream: string, shape: Shape): Promise<number> {
  const inner = memoryStore();
  let bytes = 0;
  const store: SessionStore = {
    ...inner,
    set(key, value, options) {
      bytes += utf8(value);
      return inner.set(key, value, options);
    },
  };
  const handler = handlerBefore(upstream, store);
  const input = sizedQuestion(shape.questionBytes, shape.answerBytes);
  let previous: string | undefined;
  for (let turn = 0; turn < shape.turns; turn++) {
    const body = { model: sizedModel, input, ...(previous && { previous_response_id: previous }) };
    const response = await ask(handler, "/v1/responses", body);
    ({ id: previous } = (await response.json()) as { id: string });
  }
  return Math.round(bytes / shape.turns);
}

/** The bytes of a record of that shape, whichever store has it. */
export const measureRecord = (upstream: string, shape: Shape): Promise<number> =>
  converse(memory(), upstream, shape, 1);

/** What a turn and a conversation of that shape cost in each store. */
export async function measureStores(
  upstream: string,
  shape: Shape,
  conversations: number,
): Promise<Record<string, StoreCost>> {
  const folder = await mkdtemp(join(tmpdir(), "scale-"));
  const servers = [await redisServer(), await redisServer()] as const;
  const subjects = [
    memory(),
    sqlite(folder),
    await denoKv(folder),
    durableObject(),
    netlifyBlobs(),
    await redis(servers[0]),
    await redisRest(servers[1]),
  ];
  const costs: Record<string, StoreCost> = {};
  for (const subject of subjects) {
    const emptyBytes = (await subject.bytes?.()) ?? 0;
    await converse(subject, upstream, shape, conversations);
    const turns = conversations * shape.turns;
    const { reads, writes, rowsRead, rowsWritten } = subject.counts;
    const bytes = await subject.bytes?.();
    costs[subject.store.name] = {
      reads: reads / turns,
      writes: writes / turns,
      ...(rowsWritten > 0 && { rowsRead: rowsRead / turns, rowsWritten: rowsWritten / turns }),
      ...(bytes !== undefined && { bytes: Math.round((bytes - emptyBytes) / conversations) }),
    };
    await subject.close?.();
  }
  for (const server of servers) await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
  return costs;
}
