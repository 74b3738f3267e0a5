/** Requests of the Responses API at a handler of this process, and what their streams say. */
import { accumulateResponse } from "openai/lib/responses/ResponseAccumulator";
import type { ResponseStreamEvent } from "openai/resources/responses/responses";
import type { Environment } from "../../core/config/config.ts";
import type { HandlerOptions } from "../../handler.ts";
import { schemaErrors } from "./openai-schema.ts";
import { testHandler } from "./test-handler.ts";

// biome-ignore lint/suspicious/noExplicitAny: what came is for tests to look at
export type Json = any;

/** The events of a stream, each with a name that is its type. */
export function readEvents(text: string): Json[] {
  return text
    .split("\n\n")
    .filter((event) => event !== "" && !event.startsWith(":"))
    .map((event) => {
      const [, name, data = ""] = /^event: (\S+)\ndata: (.*)$/.exec(event) ?? [];
      const parsed = JSON.parse(data);
      if (parsed.type !== name) throw new Error(`${name} has the type ${parsed.type}`);
      return parsed;
    });
}

/** Takes the events as OpenAI's own client does, which throws at the first that does not fit; the response they make. */
export function accumulate(events: readonly Json[]): Json {
  let snapshot: ReturnType<typeof accumulateResponse> | undefined;
  for (const event of events as ResponseStreamEvent[]) snapshot = accumulateResponse(event, snapshot);
  // The client's own, made of the rest.
  const { output_text: _, ...response } = (snapshot ?? {}) as Json;
  return response;
}

/** OpenAI's server sends null for these where there is nothing, although its schema has no null there. */
const withoutNulls = ({ user, usage, ...rest }: Json): Json => ({
  ...rest,
  ...(user !== null && { user }),
  ...(usage !== null && { usage }),
});

/** What OpenAI's schemas find wrong with a response. */
export const responseErrors = (response: Json): string[] => schemaErrors("Response", withoutNulls(response));

/** What they find wrong with events, and with their order. */
export function eventErrors(events: readonly Json[]): string[] {
  return events.flatMap((event, index) => {
    if (event.type === "keepalive") return [];
    const checked = event.response ? { ...event, response: withoutNulls(event.response) } : event;
    const errors = schemaErrors("ResponseStreamEvent", checked);
    if (event.sequence_number !== index) errors.push(`the number ${event.sequence_number} at ${index}`);
    return errors.map((error) => `${event.type}: ${error}`);
  });
}

export function responsesHandler(env: Environment = {}, options: Partial<HandlerOptions> = {}) {
  const made = testHandler({ API_MASTER_KEY: "1", ...env }, options);
  const post = (body: object, headers: Record<string, string> = {}, path = "") =>
    made.send(`/v1/responses${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  /** The whole response; throws for any other answer. */
  const create = async (body: object, headers?: Record<string, string>): Promise<Json> => {
    const answer = await post(body, headers);
    const response = await answer.json();
    if (answer.status !== 200) throw new Error(JSON.stringify(response));
    return response;
  };
  const stream = async (body: object): Promise<Json[]> =>
    readEvents(await (await post({ ...body, stream: true })).text());
  const failure = async (body: object, headers?: Record<string, string>) => {
    const answer = await post(body, headers);
    return { status: answer.status, ...(await answer.json()).error };
  };
  /** The messages that the provider was asked with last, and the rest of the body that it got. */
  const asked = (): Json => {
    const request = made.provider.requests.at(-1)?.request;
    return {
      messages: request?.messages.map(({ native }) => native),
      body: request?.native,
      prompt: request,
    };
  };
  return { ...made, post, create, stream, failure, asked };
}
