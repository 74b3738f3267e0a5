/** Who may call: API keys, and for a server without keys the check that only this machine calls. */

import { ApiError } from "../errors.ts";
import type { Caller, Clock } from "../types.ts";
import { type Cors, hostOfOrigin, isHostOfContainers, isLoopbackHost } from "./cors.ts";
import type { HttpSettings } from "./settings.ts";

export interface AccessOptions extends Pick<HttpSettings, "access" | "apiKeys" | "corsOrigins"> {
  readonly cors: Pick<Cors, "allows">;
  readonly clock: Pick<Clock, "now">;
}

/** The caller where no key is needed. */
export const anyone: Caller = { name: "anyone", key: "" };

/** Compares whole texts, in a time that tells nothing but their length. */
const equalsInConstantTime = (given: string, expected: string): boolean => {
  let difference = given.length ^ expected.length;
  for (let index = 0; index < expected.length; index++) {
    difference |= expected.charCodeAt(index) ^ given.charCodeAt(index % (given.length || 1));
  }
  return difference === 0;
};

/** What a proxy adds. Its caller is some other machine, though the connection comes from this one. */
const proxyHeader = /^(x-forwarded-.*|x-real-ip|x-client-ip|forwarded|via|cf-connecting-ip|true-client-ip)$/;

const comesThroughProxy = (headers: Headers): boolean => {
  for (const name of headers.keys()) if (proxyHeader.test(name)) return true;
  return false;
};

const bearer = /^bearer +(\S+) *$/i;

/** A host as an error may show it. */
const shownHost = (host: string | null): string =>
  host !== null && /^[\w.-]{1,100}(:\d{1,5})?$/.test(host) ? host.toLowerCase() : "HOST:PORT";

/** Returns who calls, or throws an ApiError. */
export function accessControl({
  access,
  apiKeys,
  corsOrigins,
  cors,
  clock,
}: AccessOptions): (headers: Headers) => Caller {
  const byKey = (headers: Headers): Caller => {
    // Claude Code may send both, one of them for somebody else: any that is known will do.
    const sent = [bearer.exec(headers.get("authorization") ?? "")?.[1], headers.get("x-api-key")];
    const keys = sent.filter((key) => key != null);
    if (keys.length === 0) {
      const message = "Send your API key in the header `Authorization: Bearer KEY` or `x-api-key: KEY`.";
      throw new ApiError("missing_api_key", message, { headers: { "www-authenticate": "Bearer" } });
    }
    let caller: Caller | undefined;
    let expiredAtMs: number | undefined;
    for (const key of keys) {
      for (const candidate of apiKeys) {
        if (!equalsInConstantTime(key, candidate.key)) continue;
        const { expiresAtMs = Number.POSITIVE_INFINITY } = candidate.limits ?? {};
        if (expiresAtMs > clock.now()) caller ??= candidate;
        else expiredAtMs = expiresAtMs;
      }
    }
    if (caller === undefined && expiredAtMs !== undefined) {
      throw new ApiError(
        "api_key_expired",
        `The API key has expired on ${new Date(expiredAtMs).toISOString()}.`,
        {
          headers: { "www-authenticate": 'Bearer error="invalid_token"' },
        },
      );
    }
    if (caller === undefined) {
      throw new ApiError("invalid_api_key", "The API key is not valid on this server.", {
        headers: { "www-authenticate": 'Bearer error="invalid_token"' },
      });
    }
    return caller;
  };

  // Without keys any web page that the user opens could call, also by a name that it points at this machine.
  const fromThisMachine = (headers: Headers): Caller => {
    if (comesThroughProxy(headers)) {
      throw new ApiError(
        "forbidden_origin",
        "This server has no API key and answers only this machine; the request came through a proxy. Set API_MASTER_KEY.",
      );
    }
    if (corsOrigins === "*") return anyone;
    const host = headers.get("host");
    const origin = headers.get("origin");
    const originAllowed = origin === null || cors.allows(origin);
    const hostAllowed =
      host === null ||
      isLoopbackHost(host) ||
      isHostOfContainers(host) ||
      corsOrigins?.some((allowed) => hostOfOrigin(allowed) === host.toLowerCase());
    if (originAllowed && hostAllowed) return anyone;
    const closed = "This server has no API key and answers only this machine.";
    throw new ApiError(
      "forbidden_origin",
      hostAllowed
        ? `${closed} The request's Origin is another one. Set API_MASTER_KEY, or allow the page's origin in CORS_ORIGIN.`
        : `${closed} The request's Host is another name. Set API_MASTER_KEY, or allow the host in CORS_ORIGIN, such as CORS_ORIGIN=http://${shownHost(host)}.`,
    );
  };

  switch (access) {
    case "keys":
      return byKey;
    case "open":
      return () => anyone;
    case "loopback":
      return fromThisMachine;
    case "unconfigured":
      return () => {
        throw new ApiError(
          "api_key_not_configured",
          "This server can be reached from outside and has no API key yet. Its operator must set API_MASTER_KEY (or API_KEYS); API_MASTER_KEY=1 opens it to everyone.",
        );
      };
  }
}
