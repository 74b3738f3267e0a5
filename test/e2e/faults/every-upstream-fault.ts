/** Every fault of an upstream of OpenAI's kind, asked in whole and streamed, before and after commit, over HTTP. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cut, type OpenAiUpstream, type Step, startOpenAiUpstream } from "../../fakes/openai-upstream.ts";
import { type Server, startServer } from "../../support/start-server.ts";
import { type ReadAnswer, readAnswer } from "./expect-fault.ts";
import { type UpstreamFault, upstreamFaults } from "./fault-table.ts";

export interface FaultsAsSeen {
  /** What a client of the dialect sends, but for `stream`. */
  readonly path: string;
  readonly body: object;
  /** A failure with its status. */
  readonly expectRefusal: (answer: ReadAnswer, fault: UpstreamFault) => void;
  /** A failure after the stream has begun. */
  readonly expectBrokenStream: (answer: ReadAnswer, fault: UpstreamFault) => void;
}

const slowMs = 300;
/** A machine that stands still for a while may miss the comment that has to come in time. */
const busyMachine = { retry: 2 };

/** Registers the suite for a dialect. */
export function everyUpstreamFault(
  dialect: string,
  { path, body, expectRefusal, expectBrokenStream }: FaultsAsSeen,
): void {
  describe.each([
    ["before", { STREAM_COMMIT_MS: "20000" }],
    ["after", { STREAM_COMMIT_MS: "50", STREAM_KEEPALIVE_MS: "100" }],
  ] as const)(`by ${dialect}, %s commit, an upstream answers with`, (when, env) => {
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
        const ask = async (stream: boolean) => {
          const init = { method: "POST", body: JSON.stringify({ ...body, stream }) };
          return readAnswer(await fetch(`${gateway.url}${path}`, init));
        };
        const [whole, streamed] = await Promise.all([ask(false), ask(true)]);
        expectRefusal(whole, fault);
        if (isLate) expectBrokenStream(streamed, fault);
        else expectRefusal(streamed, fault);
        expect(upstream.calls.length - before).toBe(2);
      },
      busyMachine,
    );
  });
}
