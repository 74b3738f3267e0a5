/**
 * Every fault of the chat site, asked in whole and streamed, before and after a stream's headers have gone out: over
 * HTTP, before the stand-in or, with KIMI_SITE_URL, a real WordPress.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { errorTable } from "../../../core/errors.ts";
import { siteUnderTest } from "../../fakes/site-under-test.ts";
import { type Server, startServer } from "../../support/start-server.ts";
import { until } from "../../support/until.ts";
import { expectBrokenStream, expectRefusal, type ReadAnswer, readAnswer } from "./expect-fault.ts";
import { callFaults, type Fault, pageFaults, siteFaults } from "./fault-table.ts";

const site = await siteUnderTest();
afterAll(() => site.stop());

/** Long enough for the headers to go out, and for a sign of life after them. */
const slowSeconds = 0.3;
/** A machine that stands still for a while may miss the comment that has to come in time. */
const busyMachine = { retry: 2 };
const early = { STREAM_COMMIT_MS: "20000" };
const late = { STREAM_COMMIT_MS: "50", STREAM_KEEPALIVE_MS: "100" };

const startGateway = (env: Readonly<Record<string, string>>) =>
  startServer({
    env: {
      CHAT_PAGE_URL: site.pageUrl,
      UPSTREAM_URL: site.ajaxUrl,
      UPSTREAM_MAX_CONCURRENCY: "0",
      // The faults of one test would open it for the next.
      CIRCUIT_BREAKER: "off",
      ...env,
    },
  });

let messages = 0;
/** A text that no other message has. */
const newMessage = () => `message ${++messages} of ${process.pid}`;

async function ask({ url }: Server, content: string, stream: boolean): Promise<ReadAnswer> {
  const body = JSON.stringify({ messages: [{ role: "user", content }], stream });
  return readAnswer(await fetch(`${url}/v1/chat/completions`, { method: "POST", body }));
}

const shown = (fault: Fault) => ({ ...fault, status: errorTable[fault.code].status });

/** How often the site was sent a message. */
async function timesSent(message: string): Promise<number> {
  const { ajax } = await site.log();
  return ajax.filter((row) => row.message?.endsWith(message)).length;
}

/** One way to ask: `prefix` goes before the message. */
async function expectAnswer(
  gateway: Server,
  fault: Fault,
  {
    stream,
    isLate,
    prefix = "",
    times,
  }: { stream: boolean; isLate: boolean; prefix?: string; times: number },
): Promise<void> {
  const message = newMessage();
  const answer = await ask(gateway, prefix + message, stream);
  if (stream && isLate) expectBrokenStream(answer, shown(fault));
  else expectRefusal(answer, shown(fault));
  expect(await timesSent(message)).toBe(times);
}

const runs = ({ standInOnly }: Fault) => !(standInOnly && site.isWordpress);
const named = (faults: readonly Fault[]) => faults.filter(runs).map((fault) => [fault.what, fault] as const);

describe("over HTTP", () => {
  let earlyGateway: Server;
  let lateGateway: Server;
  beforeAll(async () => {
    // The pages' faults come first: neither gateway has a nonce until then.
    await site.set({ page_mode: "http=500" });
    [earlyGateway, lateGateway] = await Promise.all([startGateway(early), startGateway(late)]);
    await until(async () => (await site.log()).pages.filter(({ status }) => status === 500).length >= 2);
  });

  describe("a chat page with", () => {
    beforeEach(() => site.reset());

    test.each(named(pageFaults))(
      "%s",
      async (_, fault) => {
        await site.set({ page_mode: fault.mode });
        for (const stream of [false, true]) {
          await expectAnswer(earlyGateway, fault, { stream, isLate: false, times: 0 });
        }
        await site.set({ page_mode: `slow=${slowSeconds}|${fault.mode}` });
        await Promise.all(
          [false, true].map((stream) => expectAnswer(lateGateway, fault, { stream, isLate: true, times: 0 })),
        );
      },
      busyMachine,
    );
  });

  // Each message says what its answer is to be, so they don't disturb each other.
  describe.concurrent("the site's answer:", () => {
    beforeAll(async () => {
      await site.reset();
      // Some faults are others before a message was accepted.
      for (const gateway of [earlyGateway, lateGateway]) {
        expect((await ask(gateway, newMessage(), false)).status).toBe(200);
      }
    });

    test.each(named(callFaults))(
      "%s",
      async (_, fault) => {
        await Promise.all(
          [false, true].flatMap((stream) => [
            expectAnswer(earlyGateway, fault, {
              stream,
              isLate: false,
              prefix: `[[sim:${fault.mode}]] `,
              times: 1,
            }),
            expectAnswer(lateGateway, fault, {
              stream,
              isLate: true,
              prefix: `[[sim:slow=${slowSeconds}|${fault.mode}]] `,
              times: 1,
            }),
          ]),
        );
      },
      busyMachine,
    );
  });
});

describe("over HTTP,", () => {
  beforeEach(() => site.reset());

  /** Asks in both ways a gateway that waits for the page, and lets `befall` come over the site meanwhile. */
  async function expectAfterPage(
    fault: Fault,
    env: Readonly<Record<string, string>>,
    befall: () => Promise<void>,
    times: number,
  ) {
    await site.set({ page_mode: `slow=${slowSeconds + 0.3}` });
    const gateway = await startGateway({ ...late, ...env });
    const answers = [false, true].map((stream) =>
      expectAnswer(gateway, fault, { stream, isLate: true, times }),
    );
    await until(async () => (await site.log()).pages.length > 0);
    await befall();
    await Promise.all(answers);
    return gateway;
  }

  test.each([
    [siteFaults.maintenance, (isOn: boolean) => site.maintenance(isOn)],
    [siteFaults.database, (isOn: boolean) => site.database(!isOn)],
  ] as const)(
    "$what",
    async (fault, befall) => {
      const gateway = await expectAfterPage(fault, {}, () => befall(true), 0);
      // The nonce is there now, so the message itself meets the fault, at once.
      for (const stream of [false, true]) {
        await expectAnswer(gateway, fault, { stream, isLate: false, times: 0 });
      }
      await befall(false);
      await gateway.stop();
    },
    busyMachine,
  );

  test(
    siteFaults.refused.what,
    async () => {
      const nobody = { UPSTREAM_URL: "http://127.0.0.1:9/wp-admin/admin-ajax.php" };
      const { refused } = siteFaults;
      const gateway = await expectAfterPage(refused, nobody, async () => {}, 0);
      await gateway.stop();
      const quick = await startGateway({ ...early, ...nobody });
      for (const stream of [false, true])
        await expectAnswer(quick, refused, { stream, isLate: false, times: 0 });
      await quick.stop();
    },
    busyMachine,
  );

  test(
    siteFaults.silent.what,
    async () => {
      const timeout = { API_REQUEST_TIMEOUT: "1" };
      const gateways = await Promise.all([
        startGateway({ ...early, ...timeout }),
        startGateway({ ...late, ...timeout }),
      ]);
      await until(async () => (await site.log()).pages.filter(({ status }) => status === 200).length >= 2);
      await Promise.all(
        gateways.flatMap((gateway, index) =>
          [false, true].map((stream) =>
            expectAnswer(gateway, siteFaults.silent, {
              stream,
              isLate: index === 1,
              prefix: "[[sim:slow=3]] ",
              times: 1,
            }),
          ),
        ),
      );
      await Promise.all(gateways.map((gateway) => gateway.stop()));
    },
    busyMachine,
  );
});
