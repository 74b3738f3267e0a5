import type { Fetch, SessionStore } from "../types.ts";
import { isRecord, tryParseJson } from "../util/json.ts";
import { RedisRefusal, redisCommands, refusalCode, type SendCommand } from "./redis-commands.ts";
import { storeTimeoutMs } from "./store-timeout.ts";

export interface RedisRestStoreOptions {
  readonly url: string;
  readonly token: string;
  readonly fetch: Fetch;
  /** Stands before every key. */
  readonly prefix: string;
  readonly timeoutMs?: number;
}

/** Keeps values in Redis through Upstash's REST API: https://upstash.com/docs/redis/features/restapi */
export function redisRestStore({
  url,
  token,
  fetch,
  prefix,
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
    const code = isRecord(reply) && typeof reply.error === "string" ? refusalCode(reply.error) : undefined;
    throw code === undefined
      ? new Error(`The Redis REST API answered with status ${response.status}`)
      : new RedisRefusal(code);
  };

  return { name: "redis-rest", shared: true, ...redisCommands(send, prefix) };
}
