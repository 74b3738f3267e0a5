/**
 * OpenAI's Responses: https://platform.openai.com/docs/api-reference/responses
 * What Codex and OpenAI's SDKs choke on is noted where it is obeyed.
 */
import * as v from "valibot";
import { ApiError } from "../errors.ts";
import type {
  Dialect,
  DialectCall,
  DialectDeps,
  DialectInput,
  HeldResponse,
  JsonObject,
  ResponsesCall,
  Route,
  RoutedRequest,
} from "../types.ts";
import { estimatePrompt } from "../util/estimate-prompt.ts";
import { ResponsesEncoder } from "./openai-responses/encoder.ts";
import { replay } from "./openai-responses/events.ts";
import { identify, type ResponsesRequest, readRequest } from "./openai-responses/request.ts";
import { checkBody } from "./shared/check-body.ts";

const memoryOf = ({ previous, store, input, instructions, toMessages }: ResponsesRequest) => ({
  kind: "response" as const,
  ...(previous !== undefined && { previous }),
  store,
  input,
  identify,
  instructions,
  toMessages,
});

/** Throws ApiError. */
function parse({ body }: DialectInput): DialectCall {
  const request = readRequest(body);
  const { model, prompt } = request;
  return {
    prompt,
    memory: memoryOf(request),
    ...(model !== undefined && { model }),
    encoder: (head) => new ResponsesEncoder(request, head),
  };
}

const queryOf = ({ request }: RoutedRequest): URLSearchParams =>
  new URL(request.url, "http://localhost").searchParams;

const countSchema = (min: number, max: number, fallback: number) =>
  v.optional(
    v.pipe(
      v.string(),
      v.transform(Number),
      v.integer("must be a whole number"),
      v.minValue(min, `must be at least ${min}`),
      v.maxValue(max, `must be at most ${max}`),
    ),
    String(fallback),
  );

const showSchema = v.looseObject({
  stream: v.optional(v.string()),
  starting_after: countSchema(0, Number.MAX_SAFE_INTEGER, 0),
});

const pageSchema = v.looseObject({
  limit: countSchema(1, 100, 20),
  order: v.optional(v.picklist(["asc", "desc"]), "desc"),
  after: v.optional(v.string()),
});

/** A page of a response's input items, the newest first unless `order` is "asc". */
function pageOf(items: readonly { readonly id?: unknown }[], query: URLSearchParams) {
  const { limit, order, after } = checkBody(pageSchema, Object.fromEntries(query));
  const all = order === "asc" ? items : items.toReversed();
  const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && start === 0) {
    throw new ApiError("invalid_request", "after names no item of this response.", { param: "after" });
  }
  const data = all.slice(start, start + limit);
  return {
    object: "list",
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: start + limit < all.length,
  };
}

const idOf = ({ params }: RoutedRequest): string => params.id ?? "";

function routes(deps: DialectDeps): Route[] {
  const { chat, read, responses } = deps;

  /** Asks the upstream that keeps the response of a request's path for something at it. */
  const askHolder = (
    routed: RoutedRequest,
    { provider }: HeldResponse,
    method: ResponsesCall["method"],
    rest = "",
  ): Promise<JsonObject> =>
    deps.askResponses(routed, provider, { method, path: `/${encodeURIComponent(idOf(routed))}${rest}` });

  /** The response of a request's path. */
  const show = async (routed: RoutedRequest): Promise<JsonObject> => {
    const found = await responses.find(idOf(routed), routed.caller);
    if (found.kind === "stored") return found.response;
    const query = queryOf(routed);
    // It is streamed anew here: OpenAI's server does that for responses in the background alone.
    for (const name of ["stream", "starting_after", "include_obfuscation"]) query.delete(name);
    return { ...(await askHolder(routed, found, "GET", `?${query}`)), model: found.model };
  };

  return [
    {
      method: "POST",
      path: "/responses",
      isLimited: true,
      handle: (routed) => chat(routed, parse),
    },
    {
      // Codex asks for a WebSocket first, and goes on over HTTP.
      method: "GET",
      path: "/responses",
      matches: (headers) => headers.has("upgrade"),
      handle() {
        throw new ApiError(
          "websocket_unsupported",
          "There is no WebSocket here. Send the request with POST.",
        );
      },
    },
    {
      method: "POST",
      path: "/responses/input_tokens",
      async handle(routed) {
        const request = readRequest((await read(routed)).body);
        const { model, prompt, instructions, toMessages } = request;
        const { items, heldBy } = await responses.items(memoryOf(request), routed.caller);
        const offered = model === undefined ? undefined : await deps.model(model, routed);
        const provider = heldBy?.kind === "upstream" ? heldBy.provider : offered?.provider.name;
        const isPassedOn = heldBy?.kind === "upstream" || offered?.provider.askResponses !== undefined;
        if (provider !== undefined && isPassedOn && heldBy?.kind !== "gateway") {
          const body = { ...prompt.response, ...(offered && { model: offered.model.id }) };
          const call = { method: "POST", path: "/input_tokens", body } as const;
          return routed.json(await deps.askResponses(routed, provider, call));
        }
        if (prompt.unsayable !== undefined) throw prompt.unsayable;
        const messages = [...instructions, ...toMessages(items, "present")];
        const input_tokens = estimatePrompt({ ...prompt, messages });
        return routed.json({ object: "response.input_tokens", input_tokens });
      },
    },
    {
      method: "GET",
      path: "/responses/:id",
      async handle(routed) {
        const query = Object.fromEntries(queryOf(routed));
        const { stream, starting_after: after } = checkBody(showSchema, query);
        const response = await show(routed);
        if (stream !== "true") return routed.json(response);
        if (response.status === "queued" || response.status === "in_progress") {
          const message = "The response is not there yet. Ask for it without stream until it is.";
          throw new ApiError("invalid_request", message, { param: "stream" });
        }
        const events = replay(response, query.starting_after === undefined ? -1 : after);
        return routed.respond(200, events, { "content-type": "text/event-stream; charset=utf-8" });
      },
    },
    {
      method: "DELETE",
      path: "/responses/:id",
      async handle(routed) {
        const id = idOf(routed);
        const found = await responses.find(id, routed.caller);
        const answer =
          found.kind === "held"
            ? await askHolder(routed, found, "DELETE")
            : { id, object: "response.deleted", deleted: true };
        await responses.forget(id, routed.caller);
        return routed.json(answer);
      },
    },
    {
      method: "GET",
      path: "/responses/:id/input_items",
      async handle(routed) {
        const found = await responses.find(idOf(routed), routed.caller);
        const query = queryOf(routed);
        if (found.kind === "held")
          return routed.json(await askHolder(routed, found, "GET", `/input_items?${query}`));
        return routed.json(pageOf(found.input, query));
      },
    },
    {
      method: "POST",
      path: "/responses/:id/cancel",
      async handle(routed) {
        const found = await responses.find(idOf(routed), routed.caller);
        if (found.kind === "held") {
          const cancelled = await askHolder(routed, found, "POST", "/cancel");
          return routed.json({ ...cancelled, model: found.model });
        }
        throw new ApiError(
          "invalid_request",
          "Only responses in the background can be cancelled, and this is none.",
        );
      },
    },
  ];
}

/**
 * OpenAI's Responses, `/v1/responses`, as Codex, OpenAI's Agents SDK and the AI SDK speak it. Answers are kept in the
 * handler's store unless a request says `store: false`, so that clients can go on by `previous_response_id`; what an
 * upstream keeps that speaks Responses itself is asked of that upstream.
 *
 * @example
 * ```ts
 * import { createHandler, memoryStore, openAiResponses } from "kimi-ai-2api";
 *
 * const onlyForCodex = createHandler({
 *   dialects: [openAiResponses],
 *   store: memoryStore({ maxEntries: 1000 }),
 * });
 * ```
 */
export const openAiResponses: Dialect = {
  name: "openai-responses",
  routes,
  encodeError: (error) => ({ body: error.toBody() }),
};
