/**
 * OpenAI's Responses: https://platform.openai.com/docs/api-reference/responses
 * What Codex and OpenAI's SDKs choke on is noted where it is obeyed.
 */
import * as v from "valibot";
import { ApiError } from "../errors.ts";
import type { Dialect, DialectCall, DialectInput, Route, RoutedRequest } from "../types.ts";
import { estimatePrompt } from "../util/estimate-prompt.ts";
import { ResponsesEncoder } from "./openai-responses/encoder.ts";
import { replay } from "./openai-responses/events.ts";
import { type ResponsesRequest, readRequest } from "./openai-responses/request.ts";
import { checkBody } from "./shared/check-body.ts";

const memoryOf = ({ previous, store, input, toMessages }: ResponsesRequest) => ({
  kind: "response" as const,
  ...(previous !== undefined && { previous }),
  store,
  input,
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

/**
 * OpenAI's Responses, `/v1/responses`, as Codex, OpenAI's Agents SDK and the AI SDK speak it. Answers are kept in the
 * handler's store unless a request says `store: false`, so that clients can go on by `previous_response_id`.
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
  routes: ({ chat, read, responses }): Route[] => [
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
        const { prompt, toMessages, ...request } = readRequest((await read(routed)).body);
        const items = await responses.items(memoryOf({ ...request, prompt, toMessages }), routed.caller);
        const input_tokens = estimatePrompt({ ...prompt, messages: toMessages(items) });
        return routed.json({ object: "response.input_tokens", input_tokens });
      },
    },
    {
      method: "GET",
      path: "/responses/:id",
      async handle(routed) {
        const query = Object.fromEntries(queryOf(routed));
        const { stream, starting_after: after } = checkBody(showSchema, query);
        const { response } = await responses.show(idOf(routed), routed.caller);
        if (stream !== "true") return routed.json(response);
        const events = replay(response, query.starting_after === undefined ? -1 : after);
        return routed.respond(200, events, { "content-type": "text/event-stream; charset=utf-8" });
      },
    },
    {
      method: "DELETE",
      path: "/responses/:id",
      async handle(routed) {
        const id = idOf(routed);
        await responses.forget(id, routed.caller);
        return routed.json({ id, object: "response.deleted", deleted: true });
      },
    },
    {
      method: "GET",
      path: "/responses/:id/input_items",
      async handle(routed) {
        const { input } = await responses.show(idOf(routed), routed.caller);
        return routed.json(pageOf(input, queryOf(routed)));
      },
    },
    {
      method: "POST",
      path: "/responses/:id/cancel",
      handle() {
        throw new ApiError(
          "invalid_request",
          "Only responses in the background can be cancelled, and there are none.",
        );
      },
    },
  ],
  encodeError: (error) => ({ body: error.toBody() }),
};
