import { afterAll } from "bun:test";
import { type OpenAiUpstream, startOpenAiUpstream } from "../fakes/openai-upstream.ts";
import { expectWatched } from "./expect-documented.ts";
import { startServer } from "./start-server.ts";

export interface UpstreamGateway {
  readonly url: string;
  /** What clients call `baseURL`. */
  readonly baseURL: string;
  /** All that the process has printed. */
  output(): string;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  chat(body: object, headers?: Record<string, string>): Promise<Response>;
}

/** A stand-in upstream that ends with the test file. */
export async function testUpstream(apiKey?: string, gapMs = 0): Promise<OpenAiUpstream> {
  const upstream = await startOpenAiUpstream(apiKey === undefined ? { gapMs } : { apiKey, gapMs });
  afterAll(() => upstream.close());
  return upstream;
}

/** Starts a gateway that ends with the test file; unless `env` says otherwise, without the chat site. */
export async function gatewayBeforeUpstreams(
  env: Readonly<Record<string, string>>,
): Promise<UpstreamGateway> {
  const server = await startServer({ env: { KIMI_WEB: "off", ...env } });
  afterAll(async () => {
    await server.stop();
    expectWatched(server.url);
  });
  const { url } = server;
  return {
    url,
    baseURL: `${url}/v1`,
    output: server.output,
    get: (path, headers = {}) => fetch(url + path, { headers }),
    chat: (body, headers = {}) =>
      fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ messages: [{ role: "user", content: "Hello" }], ...body }),
      }),
  };
}
