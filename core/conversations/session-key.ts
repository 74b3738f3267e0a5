/** Which conversation a request belongs to. */

import { LRUCache } from "lru-cache";
import { ApiError } from "../errors.ts";
import { sha256Hex } from "../util/hash.ts";
import { utf8Length } from "../util/utf8.ts";

/** A client's name for a conversation, within its API key. */
export interface SessionKey {
  /** Where the name came from: `user` and a header never name the same conversation. */
  readonly namespace: "session" | "user";
  readonly value: string;
  /** The key that the request came with; "" on a server without keys. */
  readonly apiKey: string;
}

export interface SessionKeySource {
  readonly headers: Headers;
  /** The names of the headers that name a conversation; the first one that the request has counts. */
  readonly sessionHeaders: readonly string[];
  readonly user: string | null | undefined;
  readonly apiKey: string;
}

const maxSessionIdLength = 512;
const maxUserBytes = 4096;

/** What a template leaves where it has nothing to put: JavaScript's, Python's, Go's and Java's words for it, and no text. */
const emptyWord = /^(undefined|null|none|nil|<nil>|\(null\)|nan|\[object object\])$/i;
/** With and without its dashes. */
const nilUuid = /^0{8}-?(0{4}-?){3}0{12}$/;
/** `{{NAME}}`, `${NAME}`, `%{NAME}`, `{NAME}`, `<NAME>`, `%NAME%`, `$NAME`. */
const template = /\{\{.*\}\}|[$%#]\{.*\}|^(\{.*\}|<.*>|%\w+%|\$[A-Za-z_]\w*)$/;

/** Whether a header has what its client should have put an id for: all chats of that client would share one memory. */
const isNoId = (text: string): boolean => emptyWord.test(text) || nilUuid.test(text) || template.test(text);

/** Throws ApiError invalid_request, which names the header. */
function checkSessionId(sessionId: string, header: string): void {
  if (isNoId(sessionId)) {
    const message = `${header} must be the id of a conversation, but is a template that was not filled in, or a word for nothing. Have the client send the chat's own id, or leave the header out.`;
    throw new ApiError("invalid_request", message, { param: header });
  }
  if (sessionId.length > maxSessionIdLength || !/^[\x21-\x7e]+$/.test(sessionId)) {
    const message = `${header} must be 1 to ${maxSessionIdLength} visible ASCII characters, without spaces.`;
    throw new ApiError("invalid_request", message, { param: header });
  }
}

/** Takes a header before `user`; undefined for a stateless call. Throws ApiError invalid_request. */
export function sessionKey(source: SessionKeySource): SessionKey | undefined {
  const { headers, sessionHeaders, user, apiKey } = source;
  for (const header of sessionHeaders) {
    const sessionId = headers.get(header);
    if (!sessionId) continue;
    checkSessionId(sessionId, header);
    return { namespace: "session", value: sessionId, apiKey };
  }
  if (!user) return undefined;
  // In UTF-8 all lone surrogates become the same replacement character, so that two users would become one.
  if (/\p{Surrogate}/u.test(user)) {
    throw new ApiError(
      "invalid_request",
      "user must be well-formed Unicode: it has half of a surrogate pair.",
      { param: "user" },
    );
  }
  if (utf8Length(user) > maxUserBytes) {
    const message = `user must have at most ${maxUserBytes} bytes in UTF-8.`;
    throw new ApiError("invalid_request", message, { param: "user" });
  }
  return { namespace: "user", value: user, apiKey };
}

/** From so many characters on an id can be a secret. */
const minSecretLength = 16;

/**
 * Why a conversation is not remembered on a server without API keys that others can reach: whoever knows its name is told
 * what was said, and this one could be guessed. Undefined for a name that could not.
 */
export const guessable = ({ namespace, value }: SessionKey): string | undefined => {
  if (namespace === "user") return "without API keys nothing is remembered under user; send X-Session-Id";
  if (value.length >= minSecretLength) return undefined;
  return `without API keys X-Session-Id needs ${minSecretLength} random characters or more`;
};

/** The `user` in X-Session-User. It is percent-encoded UTF-8, as headers take ASCII only. Throws ApiError. */
export function decodeSessionUser(header: string): string {
  try {
    return decodeURIComponent(header);
  } catch (cause) {
    const message = "X-Session-User must be percent-encoded UTF-8, as encodeURIComponent writes it.";
    throw new ApiError("invalid_request", message, { param: "X-Session-User", cause });
  }
}

/**
 * What a conversation is stored under. Names and API keys are hashed, so that the store shows neither; as JSON first,
 * which keeps the parts apart whatever they contain.
 */
export const storeKey = async ({ namespace, apiKey, value }: SessionKey): Promise<string> =>
  `chat:${await sha256Hex(JSON.stringify([namespace, apiKey, value]))}`;

/** By API key: the few that there are come with every request. */
const owners = new LRUCache<string, Promise<string>>({ max: 1000 });

const hashOwner = async (apiKey: string): Promise<string> =>
  (await sha256Hex(`owner:${apiKey}`)).slice(0, 16);

/** What stands for an API key in a store: enough to tell owners apart, and no piece of the key. "" where there is none. */
export function ownerOf(apiKey: string): Promise<string> {
  let owner = owners.get(apiKey);
  if (owner === undefined) {
    owner = apiKey === "" ? Promise.resolve("") : hashOwner(apiKey);
    owners.set(apiKey, owner);
  }
  return owner;
}

/**
 * What tells a request's body or Idempotency-Key from another one's: 32 hexadecimal digits of its SHA-256, half of all.
 * Two texts with the same are not to be found.
 */
export const fingerprint = async (text: string): Promise<string> => (await sha256Hex(text)).slice(0, 32);
