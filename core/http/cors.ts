/**
 * Cross-origin rules. itty-router's `cors` would serve, but its 6.0.0 answers every status as 200; and one set of
 * headers made when a response is made costs less than a copy of the response.
 */
import type { HttpSettings } from "./settings.ts";

/** Every header of ours that a page may read. */
export const exposedHeaders = [
  "x-request-id",
  "request-id",
  "x-should-retry",
  "x-context-dropped-messages",
  "x-context-shortened-messages",
  "x-context-condensed",
  "x-served-by",
  "x-fallback-from",
  "x-session-saved",
  "x-session-reason",
  "x-session-shared",
  "x-ratelimit-limit-requests",
  "x-ratelimit-remaining-requests",
  "x-ratelimit-reset-requests",
  "x-ratelimit-limit-tokens",
  "x-ratelimit-remaining-tokens",
  "x-ratelimit-reset-tokens",
  "retry-after",
  "retry-after-ms",
  "x-content-type-options",
  "x-accel-buffering",
] as const;

export interface Cors {
  /** Whether a page at `origin` may read answers. */
  allows(origin: string): boolean;
  /** The headers for any answer to a page at `origin`; null for what is no page's request. */
  headersFor(origin: string | null): Readonly<Record<string, string>>;
  /** The further headers of a preflight's answer. */
  preflightHeaders(requested: Headers): Record<string, string>;
}

/** `localhost`, a name under it, 127.0.0.0/8 or ::1; with or without a port. */
export const isLoopbackHost = (host: string): boolean =>
  /^(localhost|[a-z0-9-]+\.localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(host);

/** What containers and virtual machines call the machine that runs them. No website can have such a name: `.internal` is reserved. */
export const isHostOfContainers = (host: string): boolean =>
  /^((host|gateway)\.docker|host\.(containers|lima|orb|rancher-desktop))\.internal(:\d+)?$/i.test(host);

/** The host and port of an origin. */
export const hostOfOrigin = (origin: string): string => origin.slice(origin.indexOf("://") + 3);

/** `Access-Control-Request-Headers`: names, commas, blanks. */
const headerNames = /^[\w!#$%&'*+.^`|~-]+( *, *[\w!#$%&'*+.^`|~-]+)*$/;

/** How many refused origins are told of; more are made up. */
const maxRefused = 100;

export interface CorsOptions extends Pick<HttpSettings, "corsOrigins" | "access"> {
  /** Called once for each origin that is refused, with the CORS_ORIGIN that would let it in. */
  readonly onRefused?: (origin: string, remedy: string) => void;
}

export function cors({ corsOrigins, access, onRefused = () => {} }: CorsOptions): Cors {
  const refused = new Set<string>();
  const tellRefused = (origin: string) => {
    if (refused.size >= maxRefused || refused.has(origin)) return;
    refused.add(origin);
    const before = Array.isArray(corsOrigins) ? corsOrigins : [];
    onRefused(origin, `CORS_ORIGIN=${[...before, origin].join(",")}`);
  };
  const vary = { vary: "Origin" };
  const exposed = { ...vary, "access-control-expose-headers": exposedHeaders.join(", ") };
  const everyone = { "access-control-allow-origin": "*", ...exposed };
  const allowsAll = corsOrigins === "*" || (corsOrigins === undefined && access !== "loopback");
  const allows = (origin: string): boolean =>
    allowsAll ||
    corsOrigins?.includes(origin.toLowerCase()) === true ||
    (access === "loopback" && isLoopbackHost(hostOfOrigin(origin)));

  return {
    allows,
    headersFor(origin) {
      // Only a page needs them, and it says where it is from; to all others they would be a third of a short answer.
      if (origin === null) return vary;
      if (!allows(origin)) {
        tellRefused(origin);
        return vary;
      }
      return allowsAll ? everyone : { "access-control-allow-origin": origin, ...exposed };
    },
    preflightHeaders(requested) {
      const names = requested.get("access-control-request-headers") ?? "";
      return {
        "access-control-allow-methods": "GET, HEAD, POST, DELETE, OPTIONS",
        // `*` would not cover Authorization, so what is asked for is named.
        "access-control-allow-headers": headerNames.test(names) ? names : "authorization, content-type",
        "access-control-max-age": "86400",
        // Asked by browsers before a public page may call into a private network: https://wicg.github.io/private-network-access
        ...(requested.get("access-control-request-private-network") === "true" &&
          allows(requested.get("origin") ?? "") && { "access-control-allow-private-network": "true" }),
      };
    },
  };
}
