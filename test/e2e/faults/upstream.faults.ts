/** Every fault of an upstream of OpenAI's kind, asked in whole and streamed, before and after commit, over HTTP. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { errorTable } from "../../../core/errors.ts";
import { cut, type OpenAiUpstream, type Step, startOpenAiUpstream } from "../../fakes/openai-upstream.ts";
import { type Server, startServer } from "../../support/start-server.ts";
import { expectBrokenStream, expectRefusal, type ReadAnswer, readAnswer } from "./expect-fault.ts";
import { type UpstreamFault, upstreamFaults } from "./fault-table.ts";

const slowMs = 300;
/** A machine that stands still for a while may miss the comment that has to come in time. */
const busyMachine = { retry: 2 };

const shown = ({ shown: own, ...fault }: UpstreamFault) => ({
  ...fault,
  code: own?.code ?? fault.code,
  status: own?.status ?? errorTable[fault.code].status,
});

describe.each([
  ["before", { STREAM_COMMIT_MS: "20000" }],
  ["after", { STREAM_COMMIT_MS: "50", STREAM_KEEPALIVE_MS: "100" }],
] as const)("%s commit, an upstream answers with", (when, env) => {
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

  test.each(upstreamFaults.map((fault) => [fault.what, fault] as const))(
    "%s",
    async (_, fault) => {
      const isLate = when === "after";
      const { status, headers = {} } = fault;
      const steps: Step[] = [fault.body];
      // What was written is on its way before the connection breaks.
      if (fault.isCut) steps.push(() => Bun.sleep(20), cut);
      const script = { delayMs: isLate ? slowMs : 0, status, headers, steps };
      upstream.script(script, script);
      const before = upstream.calls.length;
      const [whole, streamed] = await Promise.all(
        [false, true].map(async (stream) => {
          const body = JSON.stringify({ messages: [{ role: "user", content: "Hello" }], stream });
          return readAnswer(await fetch(`${gateway.url}/v1/chat/completions`, { method: "POST", body }));
        }),
      );
      expectRefusal(whole as ReadAnswer, shown(fault));
      if (isLate) expectBrokenStream(streamed as ReadAnswer, shown(fault));
      else expectRefusal(streamed as ReadAnswer, shown(fault));
      expect(upstream.calls.length - before).toBe(2);
    },
    busyMachine,
  );
});
