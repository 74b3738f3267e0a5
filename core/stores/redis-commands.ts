import type { SessionStore } from "../types.ts";
import { allowanceOf, tallyDigits } from "../util/allowance.ts";

/** Sends one command to Redis, Valkey or another server of their protocol, and resolves to its reply. */
export type SendCommand = (command: string, args: string[]) => Promise<unknown>;

/** A command, or a connection, that Redis refused. Holds no more of its reply than says why, as the rest may repeat what was sent. */
export class RedisRefusal extends Error {
  override readonly name = "RedisRefusal";
  readonly code: string;

  /** `words` say more where the code word says nothing. */
  constructor(code: string, words = "") {
    super(`Redis refused: ${code}${words === "" ? "" : ` ${words}`}`);
    this.code = code;
  }
}

/** "ERR" is the code of everything that has none of its own; its first words tell, and what was sent comes after them. */
const plainWords = /^ERR ([A-Za-z][A-Za-z -]{0,60})/;

/** The refusal that an error reply such as "WRONGTYPE Operation against …" is; undefined for any other failure. */
export function readRefusal(message: string, command?: string): RedisRefusal | undefined {
  const code = /^([A-Z]{2,})( |$)/.exec(message)?.[1];
  if (code === undefined) return undefined;
  const [words = ""] = plainWords.exec(message)?.[1]?.split(` ${command} `) ?? [];
  const isUnknown = words.trim().toLowerCase() === "unknown command";
  return new RedisRefusal(code, isUnknown && command ? `unknown command ${command}` : words.trim());
}

/** A UUID stands before each value. Random, so that a key written anew never has an old version again. */
const versionLength = 36;

/** The version of a value that this store has not written: any write may replace it. */
const foreignVersion = "foreign";

// A write sent twice, as some clients do when a connection dies, finds its own version and still succeeds.
const compareAndSet = `local head = redis.pcall('GETRANGE', KEYS[1], 0, ${versionLength - 1})
if head ~= ARGV[1] and head ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. ARGV[3], 'PX', ARGV[4])
return 1`;

/**
 * `spendFrom`, in Redis. The key's remaining life says how much time has passed since it was written, so that no instance's
 * clock counts, and none of Redis': a script that asks for the time is not for every server.
 */
const spend = `local cost, limit, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.pcall('GET', KEYS[1])
local used = type(held) == 'string' and tonumber(held)
local life = redis.call('PTTL', KEYS[1])
if not used or used ~= used or used < 0 or life < 0 or life > window then used = 0 end
if used == 0 then life = window end
local passed = window - life
if ARGV[4] == 'evenly' then
  used = math.max(0, used - passed * limit / window)
  passed = 0
end
local granted = used + cost <= limit + 0.00001
if ARGV[5] == 'force' or (ARGV[5] == 'take' and granted) then
  used = used + cost
  local text = string.format('%.${tallyDigits}f', used)
  redis.call('SET', KEYS[1], text, 'PX', string.format('%d', math.max(1, window - passed)))
end
return {granted and 1 or 0, string.format('%.${tallyDigits}f', used), passed}`;

/** The operations of a store in Redis' commands; no key but the one in question is ever looked at. */
export function redisCommands(
  send: SendCommand,
  prefix: string,
): Pick<SessionStore, "get" | "set" | "delete" | "spend"> {
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

    async spend(key, spending) {
      const { cost, limit, windowMs, returns, mode } = spending;
      const args = [spend, "1", prefix + key, String(cost), String(limit), String(windowMs), returns, mode];
      const reply = await send("EVAL", args);
      const [granted, used, passedMs] = Array.isArray(reply) ? reply.map(Number) : [];
      if (granted === undefined || !Number.isFinite(used) || !Number.isFinite(passedMs))
        throw new Error("The reply is not the script's");
      return allowanceOf(spending, {
        isGranted: granted === 1,
        used: used as number,
        passedMs: passedMs as number,
      });
    },
  };
}
