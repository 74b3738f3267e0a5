/**
 * Anthropic's Messages: https://docs.anthropic.com/en/api/messages
 * What Claude Code and Anthropic's SDKs choke on is noted where it is obeyed.
 */
import type { Dialect, DialectCall, DialectInput, OfferedModel, Route } from "../types.ts";
import { estimatePrompt } from "../util/estimate-prompt.ts";
import { MessagesEncoder } from "./anthropic-messages/encoder.ts";
import { encodeError } from "./anthropic-messages/errors.ts";
import { readRequest } from "./anthropic-messages/request.ts";

/** Throws ApiError invalid_request. */
function parse({ body }: DialectInput): DialectCall {
  const request = readRequest(body);
  const { model, prompt } = request;
  return {
    prompt,
    // By X-Session-Id alone: `metadata.user_id` is one name for all that a user's Claude Code does at once.
    memory: { kind: "session" },
    ...(model !== undefined && { model }),
    encoder: (head) => new MessagesEncoder(request, head),
  };
}

const encodeModel = ({ id, model }: OfferedModel) => ({
  type: "model",
  id,
  display_name: id,
  created_at: new Date(model.createdAt * 1000).toISOString(),
});

const sendsVersion = (headers: Headers): boolean => headers.has("anthropic-version");

const decoded = (id = ""): string => {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
};

/**
 * Anthropic's Messages, `POST /v1/messages` and `/v1/messages/count_tokens`, as Claude Code and Anthropic's SDKs speak
 * it; and `GET /v1/models` in its shape, where a request has the header `anthropic-version`.
 *
 * @example
 * ```ts
 * import { anthropicMessages, createHandler } from "kimi-ai-2api";
 *
 * const onlyForClaudeCode = createHandler({ dialects: [anthropicMessages] });
 * ```
 */
export const anthropicMessages: Dialect = {
  name: "anthropic-messages",
  routes: ({ chat, models, model, read }): Route[] => [
    {
      method: "POST",
      path: "/messages",
      isLimited: true,
      handle: (routed) => chat(routed, parse),
    },
    {
      method: "POST",
      path: "/messages/count_tokens",
      handle: async (routed) => {
        const { prompt } = readRequest((await read(routed)).body);
        return routed.json({ input_tokens: estimatePrompt(prompt) });
      },
    },
    {
      method: "GET",
      path: "/models",
      matches: sendsVersion,
      handle: async (routed) => {
        const data = (await models(routed)).map(encodeModel);
        const [first_id = null, last_id = null] = [data[0]?.id, data.at(-1)?.id];
        return routed.json({ data, has_more: false, first_id, last_id });
      },
    },
    {
      method: "GET",
      path: "/models/:id+",
      matches: sendsVersion,
      handle: async (routed) => routed.json(encodeModel(await model(decoded(routed.params.id), routed))),
    },
  ],
  headers: (requestId) => ({ "request-id": requestId }),
  encodeError,
};
