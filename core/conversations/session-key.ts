/** Which conversation a request belongs to. */
import { ApiError } from "../errors.ts";
import { recentlyUsed } from "../util/recently-used.ts";
import { sha256 } from "../util/sha256.ts";

/** A client's name for a conversation, within its API key. */
export interface SessionKey {
  /** Where the name came from: what one client sends as `user` is never what another sends as X-Session-Id. */
  readonly namespace: "session" | "user";
  readonly value: string;
  /** The key that the request came with; "" on a server without keys. */
  readonly apiKey: string;
}

export interface SessionKeySource {
  /** X-Session-Id as it was sent. */
  readonly sessionId: string | null;
  readonly user: string | null | undefined;
  readonly apiKey: string;
}

const maxSessionIdLength = 512;
const maxUserBytes = 4096;
const encoder = new TextEncoder();

/** Takes X-Session-Id before `user`; undefined for a stateless call. Throws ApiError invalid_request. */
export function sessionKey({ sessionId, user, apiKey }: SessionKeySource): SessionKey | undefined {
  if (sessionId) {
    if (sessionId.length > maxSessionIdLength || !/^[\x21-\x7e]+$/.test(sessionId)) {
      const message = `X-Session-Id must be 1 to ${maxSessionIdLength} visible ASCII characters.`;
      throw new ApiError("invalid_request", message, { param: "X-Session-Id" });
    }
    return { namespace: "session", value: sessionId, apiKey };
  }
  if (!user) return undefined;
  // Lone surrogates would all become the same replacement character, and two users one.
  if (/\p{Surrogate}/u.test(user)) {
    throw new ApiError("invalid_request", "user must be well-formed Unicode.", { param: "user" });
  }
  // No character has more than three bytes for one unit of length.
  if (user.length * 3 > maxUserBytes && encoder.encode(user).length > maxUserBytes) {
    const message = `user must have at most ${maxUserBytes} bytes in UTF-8.`;
    throw new ApiError("invalid_request", message, { param: "user" });
  }
  return { namespace: "user", value: user, apiKey };
}

/** The `user` that X-Session-User names: percent-encoded UTF-8, as headers take ASCII only. Throws ApiError. */
export function decodeSessionUser(header: string): string {
  try {
    return decodeURIComponent(header);
  } catch (cause) {
    const message = "X-Session-User must be percent-encoded UTF-8.";
    throw new ApiError("invalid_request", message, { param: "X-Session-User", cause });
  }
}

/** How many characters of names and hashes are kept: those of some 2,000 conversations with names of usual length. */
const keptLength = 256 * 1024;

/**
 * Tells what a conversation is stored under. The hashes of those used last are kept, in this process alone, since
 * making one costs more than all else that is done to find a conversation in memory.
 */
export function storeKeys(): (key: SessionKey) => string {
  const hashes = recentlyUsed<string>(keptLength);
  return ({ namespace, apiKey, value }) => {
    const name = `${namespace} ${apiKey.length} ${apiKey} ${value}`;
    let storeKey = hashes.find(name);
    if (storeKey === undefined) {
      // JSON keeps the parts apart, whatever they contain.
      storeKey = `chat:${sha256(JSON.stringify([namespace, apiKey, value]))}`;
      hashes.keep(name, storeKey, name.length + storeKey.length);
    }
    return storeKey;
  };
}
