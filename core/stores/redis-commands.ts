import type { SessionStore } from "../types.ts";

/** Sends one command to Redis, Valkey or another server of their protocol, and resolves to its reply. */
export type SendCommand = (command: string, args: string[]) => Promise<unknown>;

/** A command that Redis refused. Holds only the code word that begins its reply, as the rest may repeat what was sent. */
export class RedisRefusal extends Error {
  override readonly name = "RedisRefusal";
  readonly code: string;

  constructor(code: string) {
    super(`Redis refused: ${code}`);
    this.code = code;
  }
}

/** The code word of an error reply such as "WRONGTYPE Operation against …"; undefined for any other failure. */
export const refusalCode = (message: string): string | undefined => /^([A-Z]{2,}) /.exec(message)?.[1];

/** A UUID stands before each value. Random, so that a key written anew never has an old version again. */
const versionLength = 36;

/** The version of a value that this store has not written: any write may replace it. */
const foreignVersion = "foreign";

// A write sent twice, as some clients do when a connection dies, finds its own version and still succeeds.
const compareAndSet = `local head = redis.pcall('GETRANGE', KEYS[1], 0, ${versionLength - 1})
if head ~= ARGV[1] and head ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. ARGV[3], 'PX', ARGV[4])
return 1`;

/** The operations of a store in Redis' commands; no key but the one in question is ever looked at. */
export function redisCommands(
  send: SendCommand,
  prefix: string,
): Pick<SessionStore, "get" | "set" | "delete"> {
  return {
    async get(key) {
      let reply: unknown;
      try {
        reply = await send("GET", [prefix + key]);
      } catch (error) {
        if (error instanceof RedisRefusal && error.code === "WRONGTYPE")
          return { value: "", version: foreignVersion };
        throw error;
      }
      if (typeof reply !== "string") return undefined;
      const version = reply.slice(0, versionLength);
      if (!/^[\da-f-]{36}$/.test(version)) return { value: reply, version: foreignVersion };
      return { value: reply.slice(versionLength), version };
    },

    async set(key, value, { ttlMs, ifVersion }) {
      const version = crypto.randomUUID();
      const lifeMs = String(Math.max(1, Math.ceil(ttlMs)));
      if (ifVersion === undefined || ifVersion === foreignVersion) {
        await send("SET", [prefix + key, version + value, "PX", lifeMs]);
        return version;
      }
      const args = [compareAndSet, "1", prefix + key, ifVersion ?? "", version, value, lifeMs];
      return Number(await send("EVAL", args)) === 1 ? version : undefined;
    },

    async delete(key) {
      await send("DEL", [prefix + key]);
    },
  };
}
