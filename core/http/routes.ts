/** The gateway's own routes; those of chats are their dialects'. */
import type { Conversations, RememberedConversation } from "../conversations/conversations.ts";
import { decodeSessionUser, type SessionKey, sessionKey } from "../conversations/session-key.ts";
import { ApiError } from "../errors.ts";
import type { Gauge, Metrics } from "../operations/metrics.ts";
import type { RecentRequest, RecentRequests } from "../operations/recent-requests.ts";
import type { CircuitState } from "../routing/circuit-breaker.ts";
import { type ListedModel, type ModelDirectory, modelNotFound } from "../routing/model-directory.ts";
import type { ProviderState, UpstreamAnswer, Upstreams } from "../routing/upstreams.ts";
import type { Logger, Route, RoutedRequest, SessionStore } from "../types.ts";
import type { Access } from "./settings.ts";

/** The store of conversations, and how its operations end. */
export interface StoreHealth {
  readonly store: Pick<SessionStore, "name" | "shared">;
  /** Whether the last one failed. */
  readonly isFailing: boolean;
  readonly lastFailure: { readonly atMs: number; readonly reason: string } | undefined;
}

export interface RoutesOptions {
  readonly app: { readonly name: string; readonly version: string; readonly description: string };
  readonly models: ModelDirectory;
  readonly upstreams: Upstreams;
  /** How many providers there are. */
  readonly providerCount: number;
  readonly storeHealth: StoreHealth;
  readonly conversations: Conversations<UpstreamAnswer>;
  /** The headers that name a conversation. */
  readonly sessionHeaders: readonly string[];
  readonly access: Access;
  readonly metrics: Metrics;
  readonly recentRequests: RecentRequests;
  /** Whether it is one of many short-lived instances. */
  readonly hosted: boolean;
  readonly log: Logger;
}

const encodeModel = ({ id, provider, model }: ListedModel) => ({
  id,
  object: "model",
  created: model.createdAt,
  owned_by: provider.name,
});

const encodeTime = (ms: number): string => new Date(ms).toISOString();

/** How many circuits are in each state; of which models is for those with a key, in the metrics. */
const countCircuits = ({ breakers }: ProviderState): Record<CircuitState, number> => {
  const counts = { closed: 0, open: 0, "half-open": 0 };
  for (const [, { state }] of breakers) counts[state]++;
  return counts;
};

const encodeUpstream = (state: ProviderState) => {
  const { provider, concurrency, lastSuccessMs, lastFailure } = state;
  return {
    name: provider.name,
    circuits: countCircuits(state),
    lastSuccess: lastSuccessMs === undefined ? null : encodeTime(lastSuccessMs),
    lastFailure:
      lastFailure === undefined ? null : { code: lastFailure.code, at: encodeTime(lastFailure.atMs) },
    ...(concurrency && { running: concurrency.running, waiting: concurrency.waiting }),
  };
};

/** Whether an upstream is left alone for every model that it was asked for. */
const isShut = (state: ProviderState): boolean => {
  const { closed, open, "half-open": halfOpen } = countCircuits(state);
  return open > 0 && closed + halfOpen === 0;
};

const encodeStore = ({ store, lastFailure }: StoreHealth) => ({
  store: store.name,
  shared: store.shared,
  lastFailure: lastFailure && {
    code: "session_store_unavailable",
    at: encodeTime(lastFailure.atMs),
    reason: lastFailure.reason,
  },
});

const gauges = (upstreams: Upstreams): Gauge[] =>
  upstreams.known.flatMap(({ provider, concurrency, breakers }) => {
    const circuits = [...breakers].map(([model, { state }]) => ({
      name: "kimi_circuit_open",
      help: "1 while the upstream is left alone for this model.",
      labels: { provider: provider.name, model },
      value: state === "closed" ? 0 : 1,
    }));
    if (concurrency === undefined) return circuits;
    const labels = { provider: provider.name };
    return [
      ...circuits,
      {
        name: "kimi_upstream_running",
        help: "Calls at the upstream now.",
        labels,
        value: concurrency.running,
      },
      {
        name: "kimi_upstream_waiting",
        help: "Requests that wait for a slot.",
        labels,
        value: concurrency.waiting,
      },
    ];
  });

/** Its facts, by the log's names. */
const encodeRequest = ({ atMs, facts }: RecentRequest) => ({ at: new Date(atMs).toISOString(), ...facts });

const decodePath = (text = ""): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ApiError("not_found", "The path is not percent-encoded UTF-8.");
  }
};

/** Whose conversation is meant: in a header, since paths end up in the logs of everything on the way. */
const namedSession = (
  { request: { headers }, caller }: RoutedRequest,
  sessionHeaders: readonly string[],
): SessionKey => {
  const user = headers.get("x-session-user");
  const key = sessionKey({
    headers,
    sessionHeaders,
    user: user === null ? undefined : decodeSessionUser(user),
    apiKey: caller.key,
  });
  if (key !== undefined) return key;
  throw new ApiError(
    "invalid_request",
    `Name the conversation in ${sessionHeaders.join(" or ")}, or its user in X-Session-User.`,
    { param: sessionHeaders[0] },
  );
};

const encodeConversation = (conversation: RememberedConversation | undefined) => ({
  object: "session",
  messages: conversation?.messages ?? [],
  started_at: toSeconds(conversation?.startedAtMs),
  finished_at: toSeconds(conversation?.finishedAtMs),
  expires_at: toSeconds(conversation?.expiresAtMs),
  keeps_own_history: conversation?.keepsOwnHistory ?? false,
  // Left out of the JSON where there is none.
  summary: conversation?.summary,
});

const toSeconds = (ms: number | undefined): number | null =>
  ms === undefined ? null : Math.floor(ms / 1000);

export function gatewayRoutes(options: RoutesOptions): Route[] {
  const { app, models, upstreams, storeHealth, conversations, sessionHeaders, metrics, log } = options;
  /** "degraded" while an upstream is left alone for some model, or the store fails. */
  const status = (): "ok" | "degraded" =>
    storeHealth.isFailing ||
    upstreams.known.some((state) => {
      const { open, "half-open": halfOpen } = countCircuits(state);
      return open + halfOpen > 0;
    })
      ? "degraded"
      : "ok";

  /** Whether some chat could be answered. What was never asked might answer. */
  const isReady = (): boolean => {
    if (options.access === "unconfigured") return false;
    const shut = upstreams.known.filter(isShut);
    return shut.length < options.providerCount;
  };

  const requireOwner = () => {
    // Where everyone is the same caller, everyone could read and delete everyone's conversations.
    if (options.access !== "open") return;
    throw new ApiError(
      "sessions_need_a_key",
      "On a server without API keys conversations and requests can't be looked at. Set API_MASTER_KEY or API_KEYS.",
    );
  };

  return [
    {
      method: "GET",
      path: "/",
      isPublic: true,
      handle: (routed) =>
        routed.json({
          ...app,
          access: options.access,
          links: { models: "/v1/models", chat: "/v1/chat/completions", health: "/health" },
        }),
    },
    {
      // Claude Code's question whether the server is there.
      method: "GET",
      path: "/api/hello",
      isPublic: true,
      handle: (routed) => routed.json({ message: "hello" }),
    },
    {
      method: "GET",
      path: "/health",
      isPublic: true,
      handle: (routed) =>
        routed.json({
          status: status(),
          version: app.version,
          sessions: encodeStore(storeHealth),
          upstreams: upstreams.known.map(encodeUpstream),
        }),
    },
    {
      method: "GET",
      path: "/ready",
      isPublic: true,
      handle: (routed) =>
        isReady() ? routed.json({ ready: true }) : routed.respond(503, JSON.stringify({ ready: false })),
    },
    {
      method: "GET",
      path: "/metrics",
      handle: (routed) =>
        routed.respond(200, metrics.render(gauges(upstreams)), {
          "content-type": "text/plain; version=0.0.4; charset=utf-8",
        }),
    },
    {
      method: "GET",
      path: "/requests",
      handle: (routed) => {
        requireOwner();
        return routed.json({
          object: "list",
          started_at: Math.floor(options.recentRequests.startedAtMs / 1000),
          is_one_of_many: options.hosted,
          data: options.recentRequests.list().map(encodeRequest),
        });
      },
    },
    {
      method: "GET",
      path: "/models",
      handle: async (routed) => {
        const { signal, url } = routed.request;
        const only = routed.caller.limits?.models;
        const data = (await models.list({ signal, log, only })).map(encodeModel);
        // Codex wants a list of its own beside, which may be empty.
        const isCodex = new URL(url, "http://localhost").searchParams.has("client_version");
        return routed.json({ object: "list", data, ...(isCodex && { models: [] }) });
      },
    },
    {
      method: "GET",
      path: "/models/:id+",
      handle: async (routed) => {
        const id = decodePath(routed.params.id);
        const { signal } = routed.request;
        const route = await models.find(id, { signal, log, only: routed.caller.limits?.models });
        if (route.listError) throw route.listError;
        if (route.isGuess) throw modelNotFound(id);
        return routed.json(encodeModel({ id, ...route }));
      },
    },
    {
      method: "GET",
      path: "/session",
      handle: async (routed) => {
        requireOwner();
        return routed.json(
          encodeConversation(await conversations.show(namedSession(routed, sessionHeaders))),
        );
      },
    },
    {
      method: "DELETE",
      path: "/session",
      isLimited: true,
      handle: async (routed) => {
        requireOwner();
        await conversations.forget(namedSession(routed, sessionHeaders));
        return routed.respond(204, null);
      },
    },
  ];
}
