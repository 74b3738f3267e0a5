import type { Clock, SessionStore } from "../types.ts";
import { systemClock, withTimeout } from "../util/time.ts";
import { readRefusal, redisCommands, type SendCommand } from "./redis-commands.ts";
import { defaultPrefix } from "./settings.ts";
import { storeTimeoutMs } from "./store-timeout.ts";

/** An open connection; Bun's own client has this form, others are wrapped. */
export interface RedisConnection {
  send(command: string, args: string[]): Promise<unknown>;
  /**
   * After a command that got no reply: looks for the servers anew. For a connection that stands for several of them, of which
   * one may be away; any other is closed instead, and `connect` opens the next one.
   */
  renew?(): Promise<void>;
  close(): void;
}

export interface RedisStoreOptions {
  /** Opens a connection. Called again when the last one is lost, so a connection need not reconnect by itself. */
  readonly connect: () => Promise<RedisConnection>;
  /** Stands before every key; default "kimi-ai-2api:". */
  readonly prefix?: string;
  readonly clock?: Clock;
  /** How long a command may take, in milliseconds; default 2,000. */
  readonly timeoutMs?: number;
}

/**
 * A store in Redis or Valkey, over TCP, through a client of your choice; Bun's own fits as it is. A command that can't
 * be sent, or takes longer than `timeoutMs`, rejects: chats then fail with 503 `session_store_unavailable`.
 *
 * @example
 * ```ts
 * import { createHandler, redisStore } from "kimi-ai-2api";
 * import { createClient } from "redis";
 *
 * const connect = async () => {
 *   const client = createClient({ url: "redis://127.0.0.1:6379", socket: { reconnectStrategy: false } });
 *   client.on("error", console.error);
 *   await client.connect();
 *   return {
 *     send: (command: string, args: string[]) => client.sendCommand([command, ...args]),
 *     close: () => client.destroy(),
 *   };
 * };
 * const handler = createHandler({ store: redisStore({ connect }) });
 * ```
 */
export function redisStore({
  connect,
  prefix = defaultPrefix,
  clock = systemClock,
  timeoutMs = storeTimeoutMs,
}: RedisStoreOptions): SessionStore {
  let connection: Promise<RedisConnection> | undefined;

  const drop = (lost: Promise<RedisConnection> | undefined) => {
    if (connection === lost) connection = undefined;
    lost?.then((opened) => opened.close()).catch(() => {});
  };

  /** The open connection, or a new one. One that could not be made is not kept: the next command tries anew. */
  const connected = async (deadlineMs: number): Promise<RedisConnection> => {
    connection ??= connect();
    const current = connection;
    try {
      return await withTimeout(current, deadlineMs - clock.monotonic(), { clock });
    } catch (error) {
      drop(current);
      throw readRefusal((error as Error).message) ?? error;
    }
  };

  const attempt = async (
    command: string,
    args: string[],
    { deadlineMs, isLast }: { deadlineMs: number; isLast: boolean },
  ): Promise<unknown> => {
    const isKept = connection !== undefined;
    const opened = await connected(deadlineMs);
    const current = connection;
    try {
      return await withTimeout(opened.send(command, args), deadlineMs - clock.monotonic(), { clock });
    } catch (error) {
      const refusal = readRefusal((error as Error).message, command);
      // READONLY comes from a server that used to be the primary: a new connection may find the present one.
      if (refusal !== undefined && refusal.code !== "READONLY") throw refusal;
      if (opened.renew === undefined) drop(current);
      else {
        const renewing = withTimeout(opened.renew(), Math.max(1, deadlineMs - clock.monotonic()), { clock });
        await renewing.catch(() => {
          throw refusal ?? error;
        });
      }
      // A kept connection may have been closed while it was idle; all commands may be sent twice.
      if (isKept && !isLast && clock.monotonic() < deadlineMs)
        return attempt(command, args, { deadlineMs, isLast: true });
      throw refusal ?? error;
    }
  };

  const send: SendCommand = (command, args) =>
    attempt(command, args, { deadlineMs: clock.monotonic() + timeoutMs, isLast: false });

  return { name: "redis", shared: true, ...redisCommands(send, prefix), close: () => drop(connection) };
}
