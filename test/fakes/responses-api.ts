/**
 * The Responses API of the stand-in upstream, with its state: as OpenAI's server has it, a response is kept unless it says
 * `store: false`, a next one may go on from it, and its items may be referred to. It echoes what it was asked.
 */
import { randomBytes } from "node:crypto";

// biome-ignore lint/suspicious/noExplicitAny: what came is for tests to look at
type Json = any;

export interface ApiAnswer {
  readonly status: number;
  readonly body?: Json;
  /** The events of a stream, instead of a body. */
  readonly events?: readonly Json[];
}

/** As OpenAI's: longer than the gateway's own. */
const newId = (prefix: string): string => `${prefix}_${randomBytes(24).toString("hex")}`;

const refuse = (status: number, message: string, more: object = {}): ApiAnswer => ({
  status,
  body: { error: { message, type: "invalid_request_error", param: null, code: null, ...more } },
});

const textOf = (content: Json): string =>
  typeof content === "string"
    ? content
    : (content ?? []).map((part: Json) => part.text ?? `[${part.type}]`).join("");

const isReference = (item: Json): boolean =>
  item.type === "item_reference" || (item.type === undefined && item.role === undefined);

const message = (text: string) => ({
  id: newId("msg"),
  type: "message",
  status: "completed",
  role: "assistant",
  content: [{ type: "output_text", annotations: [], logprobs: [], text }],
});

function outputOf(body: Json, items: readonly Json[]): Json[] {
  const last = items.at(-1) ?? {};
  const tools = (body.tools ?? []).filter(({ type }: Json) => type === "function" || type === "custom");
  const reasoning =
    body.model === "reasoner"
      ? [{ id: newId("rs"), type: "reasoning", summary: [{ type: "summary_text", text: "First I think." }] }]
      : [];
  if (last.type?.endsWith("_output")) return [...reasoning, message(`The tool said: ${textOf(last.output)}`)];
  if (tools.length > 0 && last.role === "user") {
    const calls = tools.map(({ type, name }: Json, index: number) => ({
      id: newId(type === "custom" ? "ctc" : "fc"),
      type: type === "custom" ? "custom_tool_call" : "function_call",
      status: "completed",
      call_id: `call_${index}_${randomBytes(4).toString("hex")}`,
      name,
      ...(type === "custom" ? { input: "raw" } : { arguments: '{"city":"Paris"}' }),
    }));
    return [...reasoning, ...calls];
  }
  if (body.text?.format?.type === "json_schema")
    return [...reasoning, message('{"city":"Paris","warm":true}')];
  return [...reasoning, message(`Echo: ${textOf(last.content)}`)];
}

function responseTo(body: Json, items: readonly Json[]): Json {
  const output = outputOf(body, items);
  const isCut = typeof body.max_output_tokens === "number" && body.max_output_tokens < 3;
  return {
    id: newId("resp"),
    object: "response",
    created_at: 1_700_000_000,
    status: body.background ? "queued" : isCut ? "incomplete" : "completed",
    completed_at: 1_700_000_001,
    background: body.background === true,
    billing: { payer: "developer" },
    error: null,
    frequency_penalty: 0,
    incomplete_details: isCut ? { reason: "max_output_tokens" } : null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: null,
    model: `${body.model}-2026-01-01`,
    output: body.background ? [] : output,
    parallel_tool_calls: true,
    presence_penalty: 0,
    previous_response_id: body.previous_response_id ?? null,
    prompt_cache_key: null,
    prompt_cache_retention: null,
    reasoning: { effort: null, summary: null },
    safety_identifier: null,
    service_tier: "default",
    store: body.store !== false,
    temperature: 1,
    text: { format: body.text?.format ?? { type: "text" }, verbosity: "medium" },
    tool_choice: body.tool_choice ?? "auto",
    tools: (body.tools ?? []).map((tool: Json) => ({ description: null, strict: true, ...tool })),
    top_logprobs: 0,
    top_p: 1,
    truncation: "disabled",
    usage: {
      input_tokens: items.length,
      input_tokens_details: { cached_tokens: 1, cache_write_tokens: 0 },
      output_tokens: 7,
      output_tokens_details: { reasoning_tokens: 2 },
      total_tokens: items.length + 7,
    },
    user: null,
    metadata: body.metadata ?? {},
  };
}

const pieces = (text: string): string[] => text.match(/.{1,5}/gsu) ?? [];

/** The events of one item. */
function itemEvents(item: Json, output_index: number): Json[] {
  const at = { item_id: item.id, output_index };
  const deltas = (kind: string, text: string, place: object) =>
    pieces(text).map((delta) => ({ type: `response.${kind}.delta`, ...place, delta, obfuscation: "x1y2" }));
  const added = (opened: object) => ({
    type: "response.output_item.added",
    output_index,
    item: { ...item, ...opened },
  });
  const done = { type: "response.output_item.done", output_index, item };
  if (item.type === "message") {
    const [part] = item.content;
    const place = { ...at, content_index: 0 };
    const opened = { ...part, text: "" };
    return [
      added({ status: "in_progress", content: [] }),
      { type: "response.content_part.added", ...place, part: opened },
      ...deltas("output_text", part.text, place).map((event) => ({ ...event, logprobs: [] })),
      { type: "response.output_text.done", ...place, text: part.text, logprobs: [] },
      { type: "response.content_part.done", ...place, part },
      done,
    ];
  }
  if (item.type === "reasoning") {
    const [part] = item.summary;
    const place = { ...at, summary_index: 0 };
    return [
      added({ summary: [] }),
      { type: "response.reasoning_summary_part.added", ...place, part: { ...part, text: "" } },
      ...deltas("reasoning_summary_text", part.text, place),
      { type: "response.reasoning_summary_text.done", ...place, text: part.text },
      { type: "response.reasoning_summary_part.done", ...place, part },
      done,
    ];
  }
  if (item.type === "custom_tool_call")
    return [
      added({ status: "in_progress", input: "" }),
      ...deltas("custom_tool_call_input", item.input, at),
      { type: "response.custom_tool_call_input.done", ...at, input: item.input },
      done,
    ];
  return [
    added({ status: "in_progress", arguments: "" }),
    ...deltas("function_call_arguments", item.arguments, at),
    {
      type: "response.function_call_arguments.done",
      ...at,
      name: item.name,
      arguments: item.arguments,
    },
    done,
  ];
}

/** The events of a response, numbered. */
export function responseEvents(response: Json): Json[] {
  const running = { ...response, status: "in_progress", completed_at: null, output: [], usage: null };
  const events = [
    { type: "response.created", response: { ...running, incomplete_details: null } },
    { type: "response.in_progress", response: { ...running, incomplete_details: null } },
    ...response.output.flatMap(itemEvents),
    { type: `response.${response.status}`, response },
  ];
  return events.map(({ type, ...fields }, sequence_number) => ({ type, sequence_number, ...fields }));
}

export interface ResponsesApi {
  /** The ids of the responses that are kept. */
  readonly kept: readonly string[];
  /** Undefined for routes of others. `path` is what comes after `/v1/responses`. */
  answer(method: string, path: string, query: URLSearchParams, body: Json): ApiAnswer | undefined;
  /** Any response to a request that is not kept, for scripts. */
  responseTo(body: Json): Json;
}

export function createResponsesApi(): ResponsesApi {
  /** The items before a response's own, its own input, and itself. */
  const kept = new Map<string, { before: Json[]; input: Json[]; response: Json }>();
  const items = new Map<string, Json>();

  const read = (body: Json): { before: Json[]; input: Json[] } | ApiAnswer => {
    const { previous_response_id: previous } = body;
    const parent = kept.get(previous);
    if (previous != null && parent === undefined) {
      return refuse(400, `Previous response with id '${previous}' not found.`, {
        param: "previous_response_id",
        code: "previous_response_not_found",
      });
    }
    const sent =
      typeof body.input === "string" ? [{ role: "user", content: body.input }] : (body.input ?? []);
    const input: Json[] = [];
    for (const item of sent) {
      const known = isReference(item) ? items.get(item.id) : { ...item, id: item.id ?? newId("msg") };
      if (known === undefined) return refuse(404, `Item with id '${item.id}' not found.`, { param: "input" });
      input.push(known);
    }
    return { before: parent ? [...parent.before, ...parent.input, ...parent.response.output] : [], input };
  };

  const create = (body: Json): ApiAnswer => {
    const told = read(body);
    if ("status" in told) return told;
    const all = [...told.before, ...told.input];
    const response = responseTo(body, all);
    if (response.store) {
      kept.set(response.id, { ...told, response });
      for (const item of [...told.input, ...response.output]) items.set(item.id, item);
    }
    return body.stream ? { status: 200, events: responseEvents(response) } : { status: 200, body: response };
  };

  const pageOf = (input: readonly Json[], query: URLSearchParams): Json => {
    const ordered = query.get("order") === "asc" ? input : input.toReversed();
    const start = ordered.findIndex(({ id }) => id === query.get("after")) + 1;
    const data = ordered.slice(start, start + Number(query.get("limit") ?? 20));
    const [first] = data;
    return {
      object: "list",
      data: data.map((item) =>
        typeof item.content === "string"
          ? { ...item, type: "message", content: [{ type: "input_text", text: item.content }] }
          : item,
      ),
      first_id: first?.id ?? null,
      last_id: data.at(-1)?.id ?? null,
      has_more: start + data.length < ordered.length,
    };
  };

  return {
    get kept() {
      return [...kept.keys()];
    },
    responseTo: (body) => responseTo(body, [{ role: "user", content: body.input }]),
    answer(method, path, query, body) {
      if (path === "" && method === "POST") return create(body);
      if (path === "/input_tokens" && method === "POST") {
        const told = read(body);
        if ("status" in told) return told;
        const input_tokens = 100 + told.before.length + told.input.length;
        return { status: 200, body: { object: "response.input_tokens", input_tokens } };
      }
      const [, id = "", rest] = /^\/([^/]+)(?:\/(\w+))?$/.exec(path) ?? [];
      const found = kept.get(id);
      if (found === undefined) return refuse(404, `Response with id '${id}' not found.`);
      if (method === "DELETE" && rest === undefined) {
        kept.delete(id);
        return { status: 200, body: { id, object: "response", deleted: true } };
      }
      if (method === "GET" && rest === "input_items")
        return { status: 200, body: pageOf(found.input, query) };
      if (method === "GET" && rest === undefined) {
        const status = found.response.status === "queued" ? "in_progress" : found.response.status;
        return { status: 200, body: { ...found.response, status } };
      }
      if (method !== "POST" || rest !== "cancel") return undefined;
      if (!found.response.background)
        return refuse(400, "Only responses in the background can be cancelled.");
      found.response.status = "cancelled";
      return { status: 200, body: found.response };
    },
  };
}
