import { type Environment, parseConfig } from "../../core/config/config.ts";
import type { RequestFacts } from "../../core/types.ts";
import { createHandler, type HandlerOptions } from "../../handler.ts";
import { recordingLogger } from "../fakes/recording-logger.ts";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { watching } from "./watch-answers.ts";

/** A handler in this process, with a scripted provider unless the test brings others. */
export function testHandler(
  env: Environment = {},
  options: Partial<HandlerOptions> & { exposed?: boolean } = {},
) {
  const { exposed, ...rest } = options;
  const log = recordingLogger();
  const records: RequestFacts[] = [];
  const provider = scriptedProvider();
  const own = createHandler({
    config: parseConfig(env, exposed === undefined ? {} : { exposed }),
    providers: [provider],
    log,
    onRequest: (record) => records.push(record),
    ...rest,
  });
  const handler = { ...own, fetch: rest.dialects ? own.fetch : watching(own.fetch) };
  const send = (path: string, init: RequestInit = {}) =>
    handler.fetch(new Request(`http://127.0.0.1:8088${path}`, init));
  const chat = (body: unknown, init: RequestInit = {}) =>
    send("/v1/chat/completions", {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      ...init,
    });
  return { handler, provider, log, records, send, chat };
}

export const hello = { model: "test-model", messages: [{ role: "user", content: "Hi" }] };

/** The JSON of each `data:` line, `[DONE]` as the text it is. */
export const sseData = (text: string): unknown[] =>
  text
    .split("\n\n")
    .filter((event) => event.startsWith("data: "))
    .map((event) => (event === "data: [DONE]" ? "[DONE]" : JSON.parse(event.slice("data: ".length))));
