/** Every fault of an upstream as a client of OpenAI's Responses sees it, whole and streamed, before and after commit. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { errorTable } from "../../../core/errors.ts";
import { cut, type OpenAiUpstream, type Step, startOpenAiUpstream } from "../../fakes/openai-upstream.ts";
import { eventErrors, readEvents } from "../../support/responses.ts";
import { type Server, startServer } from "../../support/start-server.ts";
import { type ReadAnswer, readAnswer } from "./expect-fault.ts";
import { type UpstreamFault, upstreamFaults } from "./fault-table.ts";

const slowMs = 300;

function expectRefusal({ status, headers, text }: ReadAnswer, fault: UpstreamFault): void {
  expect({ status, text }).toMatchObject({ status: fault.shown?.status ?? errorTable[fault.code].status });
  expect(headers.get("content-type")).toStartWith("application/json");
  const { error } = JSON.parse(text);
  expect(Object.keys(error).sort()).toEqual(["code", "message", "param", "type"]);
  if (fault.says !== undefined) expect(error.message).toMatch(fault.says);
}

function expectBrokenStream({ status, text }: ReadAnswer, fault: UpstreamFault): void {
  expect({ status, text }).toMatchObject({ status: 200 });
  const events = readEvents(text);
  expect(events.map(({ type }) => type)).toEqual([
    "response.created",
    "response.in_progress",
    "error",
    "response.failed",
  ]);
  // The published list of codes is not all that OpenAI sends, and not all that the gateway has.
  expect(eventErrors(events.slice(0, -1))).toEqual([]);
  const [error, { response }] = events.slice(-2) as [(typeof events)[0], (typeof events)[0]];
  expect(error.code).toBeString();
  expect(error.error).toMatchObject({ code: error.code, message: error.message });
  expect(response).toMatchObject({
    status: "failed",
    output: [],
    error: { code: error.code, message: error.message },
  });
  if (fault.says !== undefined) expect(error.message).toMatch(fault.says);
}

describe.each([
  ["before", { STREAM_COMMIT_MS: "20000" }],
  ["after", { STREAM_COMMIT_MS: "50", STREAM_KEEPALIVE_MS: "100" }],
] as const)("by Responses, %s commit, an upstream answers with", (when, env) => {
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
    const delayMs = isLate ? slowMs : 0;
    const script = { delayMs, status: fault.status, headers: fault.headers ?? {}, steps };
    upstream.script(script, script);
    const [whole, streamed] = await Promise.all(
      [false, true].map(async (stream) => {
        const body = JSON.stringify({ input: "Hello", stream });
        return readAnswer(await fetch(`${gateway.url}/v1/responses`, { method: "POST", body }));
      }),
    );
    expectRefusal(whole as ReadAnswer, fault);
    if (isLate) expectBrokenStream(streamed as ReadAnswer, fault);
    else expectRefusal(streamed as ReadAnswer, fault);
  });
});
