/** Every fault of an upstream as a client of Anthropic's Messages sees it, whole and streamed, before and after commit. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { errorTable } from "../../../core/errors.ts";
import { cut, type OpenAiUpstream, type Step, startOpenAiUpstream } from "../../fakes/openai-upstream.ts";
import { type Server, startServer } from "../../support/start-server.ts";
import { type ReadAnswer, readAnswer } from "./expect-fault.ts";
import { type UpstreamFault, upstreamFaults } from "./fault-table.ts";

const slowMs = 300;

const types: Readonly<Record<number, string>> = {
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  504: "timeout_error",
};

const statusOf = ({ shown, code }: UpstreamFault): number => shown?.status ?? errorTable[code].status;

function expectError(body: unknown, fault: UpstreamFault, requestId: string | null): void {
  const status = statusOf(fault);
  expect(body).toEqual({
    type: "error",
    error: {
      type: types[status] ?? (status < 500 ? "invalid_request_error" : "api_error"),
      message: expect.any(String),
    },
    request_id: requestId,
  });
  const { message } = (body as { error: { message: string } }).error;
  if (fault.says !== undefined) expect(message).toMatch(fault.says);
  expect(/^prompt is too long/i.test(message)).toBe(fault.code === "context_length_exceeded");
}

function expectRefusal({ status, headers, text }: ReadAnswer, fault: UpstreamFault): void {
  expect({ status, text }).toMatchObject({ status: statusOf(fault) });
  expect(headers.get("content-type")).toStartWith("application/json");
  expect(headers.get("request-id")).toBe(headers.get("x-request-id"));
  expectError(JSON.parse(text), fault, headers.get("request-id"));
}

function expectBrokenStream({ status, headers, text }: ReadAnswer, fault: UpstreamFault): void {
  expect({ status, text }).toMatchObject({ status: 200 });
  const events = [...text.matchAll(/^event: (\w+)\ndata: (.*)$/gm)];
  const names = events.map(([, name]) => name);
  expect(names.at(0)).toBe("message_start");
  expect(names.slice(1, -1).every((name) => name === "ping")).toBe(true);
  expect(names.at(-1)).toBe("error");
  expectError(JSON.parse(events.at(-1)?.[2] ?? ""), fault, headers.get("request-id"));
}

describe.each([
  ["before", { STREAM_COMMIT_MS: "20000" }],
  ["after", { STREAM_COMMIT_MS: "50", STREAM_KEEPALIVE_MS: "100" }],
] as const)("by Messages, %s commit, an upstream answers with", (when, env) => {
  let upstream: OpenAiUpstream;
  let gateway: Server;
  beforeAll(async () => {
    upstream = await startOpenAiUpstream();
    gateway = await startServer({
      env: {
        KIMI_WEB: "off",
        OPENAI_BASE_URL: upstream.baseUrl,
        OPENAI_API_KEY: "sk-upstream",
        OPENAI_MODELS: "echo",
        CIRCUIT_BREAKER: "off",
        ...env,
      },
    });
  });
  afterAll(async () => {
    await gateway.stop();
    upstream.close();
  });

  test.each(upstreamFaults.map((fault) => [fault.what, fault] as const))("%s", async (_, fault) => {
    const isLate = when === "after";
    const steps: Step[] = [fault.body];
    if (fault.isCut) steps.push(() => Bun.sleep(20), cut);
    const script = {
      delayMs: isLate ? slowMs : 0,
      status: fault.status,
      headers: fault.headers ?? {},
      steps,
    };
    upstream.script(script, script);
    const [whole, streamed] = await Promise.all(
      [false, true].map(async (stream) => {
        const messages = [{ role: "user", content: "Hello" }];
        const body = JSON.stringify({ max_tokens: 100, messages, stream });
        return readAnswer(await fetch(`${gateway.url}/v1/messages`, { method: "POST", body }));
      }),
    );
    expectRefusal(whole as ReadAnswer, fault);
    if (isLate) expectBrokenStream(streamed as ReadAnswer, fault);
    else expectRefusal(streamed as ReadAnswer, fault);
  });
});
