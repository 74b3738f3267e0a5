import type { Fetch, SessionStore } from "../types.ts";
import { isRecord, tryParseJson } from "../util/json.ts";
import { readRefusal, redisCommands, type SendCommand } from "./redis-commands.ts";
import { defaultPrefix } from "./settings.ts";
import { storeTimeoutMs } from "./store-timeout.ts";

export interface RedisRestStoreOptions {
  readonly url: string;
  readonly token: string;
  /** By default the platform's. */
  readonly fetch?: Fetch;
  /** Stands before every key; default "kimi-ai-2api:". */
  readonly prefix?: string;
  /** How long a command may take, in milliseconds; default 2,000. */
  readonly timeoutMs?: number;
}

/**
 * A store in Redis through Upstash's REST API, which needs nothing but `fetch`:
 * https://upstash.com/docs/redis/features/restapi. A command that fails, or takes longer than `timeoutMs`, rejects: chats
 * then fail with 503 `session_store_unavailable`.
 *
 * @example
 * ```ts
 * import { createHandler, redisRestStore } from "kimi-ai-2api";
 *
 * const store = redisRestStore({ url: "https://eu1-example.upstash.io", token: "AX…" });
 * const handler = createHandler({ store, hosted: true });
 * ```
 */
export function redisRestStore({
  url,
  token,
  fetch = (input, init) => globalThis.fetch(input, init),
  prefix = defaultPrefix,
  timeoutMs = storeTimeoutMs,
}: RedisRestStoreOptions): SessionStore {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };

  const send: SendCommand = async (command, args) => {
    const response = await fetch(url, {
      method: "POST",
      headers,
      body: JSON.stringify([command, ...args]),
      // The token goes to no other host.
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    });
    const reply = tryParseJson(await response.text());
    if (isRecord(reply) && response.ok && "result" in reply) return reply.result;
    const error = isRecord(reply) && typeof reply.error === "string" ? reply.error : "";
    throw (
      readRefusal(error, command) ?? new Error(`The Redis REST API answered with status ${response.status}`)
    );
  };

  return { name: "redis-rest", shared: true, ...redisCommands(send, prefix) };
}
