import type { Clock, SessionStore } from "../types.ts";
import { withTimeout } from "../util/time.ts";
import { RedisRefusal, redisCommands, refusalCode, type SendCommand } from "./redis-commands.ts";
import { storeTimeoutMs } from "./store-timeout.ts";

/** An open connection; Bun's own client has this form, others are wrapped. */
export interface RedisConnection {
  send(command: string, args: string[]): Promise<unknown>;
  close(): void;
}

export interface RedisStoreOptions {
  /** Opens a connection. Called again when the last one is lost, so a connection need not reconnect by itself. */
  readonly connect: () => Promise<RedisConnection>;
  /** Stands before every key. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly timeoutMs?: number;
}

/** Keeps values in Redis or Valkey, over TCP. */
export function redisStore({
  connect,
  prefix,
  clock,
  timeoutMs = storeTimeoutMs,
}: RedisStoreOptions): SessionStore {
  let connection: Promise<RedisConnection> | undefined;

  const drop = (lost: Promise<RedisConnection> | undefined) => {
    if (connection === lost) connection = undefined;
    lost?.then((opened) => opened.close()).catch(() => {});
  };

  const attempt = async (
    command: string,
    args: string[],
    { deadlineMs, isLast }: { deadlineMs: number; isLast: boolean },
  ): Promise<unknown> => {
    const isKept = connection !== undefined;
    connection ??= connect();
    const current = connection;
    try {
      const reply = current.then((opened) => opened.send(command, args));
      return await withTimeout(reply, deadlineMs - clock.now(), { clock });
    } catch (error) {
      const code = refusalCode((error as Error).message);
      // READONLY comes from a server that used to be the primary: a new connection may find the present one.
      if (code !== undefined && code !== "READONLY") throw new RedisRefusal(code);
      drop(current);
      // A kept connection may have been closed while it was idle; all commands may be sent twice.
      if (isKept && !isLast && clock.now() < deadlineMs)
        return attempt(command, args, { deadlineMs, isLast: true });
      throw code === undefined ? error : new RedisRefusal(code);
    }
  };

  const send: SendCommand = (command, args) =>
    attempt(command, args, { deadlineMs: clock.now() + timeoutMs, isLast: false });

  return { name: "redis", shared: true, ...redisCommands(send, prefix), close: () => drop(connection) };
}
