/** What must be true of the limits of keys wherever several gateways count in one store. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type OpenAiUpstream, startOpenAiUpstream } from "../../fakes/openai-upstream.ts";
import { type Server, type ServerOptions, startServer } from "../../support/start-server.ts";

export const keys = {
  ann: { key: "sk-ann-0123456789", rpm: 12 },
  bob: { key: "sk-bob-0123456789", tokensPerDay: 200 },
  cy: "sk-cy-0123456789",
  /** For what must have been done once. */
  dee: { key: "sk-dee-0123456789", rpm: 1000 },
  /** As ann and bob, for further trials. */
  ann2: { key: "sk-ann2-0123456789", rpm: 12 },
  ann3: { key: "sk-ann3-0123456789", rpm: 12 },
  bob2: { key: "sk-bob2-0123456789", tokensPerDay: 200 },
  bob3: { key: "sk-bob3-0123456789", tokensPerDay: 200 },
};

/** Longer than each process counts alone after a count that came too late. */
const aloneMs = 1_100;

/** Tries a key, and the next one where a count may have come too late in between; returns the last that was tried. */
async function firstThatHolds(
  tried: readonly { readonly key: string }[],
  holds: (key: string) => Promise<boolean>,
): Promise<string> {
  let last = "";
  for (const { key } of tried) {
    if (last !== "") await Bun.sleep(aloneMs);
    last = key;
    if (await holds(key)) break;
  }
  return last;
}

/** Starts gateways that share their limits, three by default. */
export const startSharing = (
  upstream: OpenAiUpstream,
  { env, ...how }: Pick<ServerOptions, "command"> & { readonly env: Readonly<Record<string, string>> },
  count = 3,
): Promise<Server[]> =>
  Promise.all(
    Array.from({ length: count }, () =>
      startServer({
        ...how,
        env: {
          KIMI_WEB: "off",
          OPENAI_BASE_URL: upstream.baseUrl,
          OPENAI_MODELS: "echo",
          API_KEYS: JSON.stringify(keys),
          RATE_LIMIT_SHARED: "on",
          ...env,
        },
      }),
    ),
  );

export const ask = async ({ url }: Server, key: string, more: object = {}) => {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ messages: [{ role: "user", content: "Hello, how are you?" }], ...more }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text };
};

/** `count` requests, spread over the processes, `atOnce` of them at a time; how many got in. */
export const granted = async (
  servers: readonly Server[],
  key: string,
  count: number,
  atOnce = count,
): Promise<number> => {
  const answers: Awaited<ReturnType<typeof ask>>[] = [];
  while (answers.length < count) {
    const asking = Array.from({ length: atOnce }, (_, index) => ask(servers[index % 3] as Server, key));
    answers.push(...(await Promise.all(asking)));
  }
  expect(answers.every(({ status }) => status === 200 || status === 429)).toBe(true);
  return answers.filter(({ status }) => status === 200).length;
};

export const warningsOf = (server: Server): string[] =>
  server
    .output()
    .split("\n")
    .filter((line) => line.includes('"limit.not_shared"'));

export interface LimitsAcrossOptions {
  readonly command?: readonly [string, ...string[]];
  /** Whether the store's first answer, or its answers to very many at once, take longer here than a count may. */
  readonly isSlow?: boolean;
  /** Opens the store, and resolves to the settings that name it and to what closes it. */
  open(): Promise<{
    readonly env: Readonly<Record<string, string>>;
    end(): Promise<unknown>;
  }>;
}

/** Declares the suite. */
export function limitsAcross(name: string, { command, open, isSlow }: LimitsAcrossOptions): void {
  describe(name, () => {
    const anns = isSlow ? [keys.ann, keys.ann2, keys.ann3] : [keys.ann];
    const bobs = isSlow ? [keys.bob, keys.bob2, keys.bob3] : [keys.bob];
    let upstream: OpenAiUpstream;
    let store: Awaited<ReturnType<typeof open>>;
    let servers: Server[];
    const start = async (count: number) => {
      const started = await startSharing(upstream, { ...(command && { command }), env: store.env }, count);
      if (isSlow) {
        await Promise.all(started.map((server) => ask(server, keys.dee.key)));
        for (const { key } of [...anns, ...bobs]) await ask(started[0] as Server, key);
        await Bun.sleep(aloneMs);
      }
      return started;
    };
    beforeAll(async () => {
      upstream = await startOpenAiUpstream();
      store = await open();
      servers = await start(3);
    });
    afterAll(async () => {
      await Promise.all(servers.map((server) => server.stop()));
      await store.end();
      await upstream.close();
    });

    test("let a key make as many requests a minute as one process would", async () => {
      const expected = isSlow ? 11 : 12;
      let count = 0;
      const ann = await firstThatHolds(anns, async (key) => {
        count = await granted(servers, key, 42, isSlow ? 3 : 42);
        return count === expected;
      });
      expect(count).toBe(expected);
      for (const server of servers) {
        const { status, headers, text } = await ask(server, ann);
        expect([status, JSON.parse(text).error.code]).toEqual([429, "rate_limit_exceeded"]);
        expect(Number(headers.get("retry-after"))).toBeWithin(1, 6);
      }
      expect(await granted(servers, keys.cy, 12)).toBe(12);
      if (!isSlow) expect(servers.flatMap(warningsOf)).toEqual([]);
    });

    test("count a key's tokens together, of streams and whole answers, and after a restart", async () => {
      let turns = 0;
      const isGranted = async (key: string) =>
        (await ask(servers[turns % 3] as Server, key, { stream: turns % 2 === 0 })).status === 200;
      const bob = await firstThatHolds(bobs, async (key) => {
        turns = 0;
        while (turns < 100 && (await isGranted(key))) turns++;
        return turns < 50;
      });
      expect(turns).toBeWithin(3, 50);
      const [first, ...rest] = servers;
      await first?.stop();
      servers = [...(await start(1)), ...rest];
      for (const server of servers) {
        const { status, headers, text } = await ask(server, bob);
        expect([status, JSON.parse(text).error.code]).toEqual([429, "token_limit_exceeded"]);
        expect(Number(headers.get("retry-after"))).toBeWithin(86_000, 86_401);
        expect(headers.get("x-ratelimit-remaining-tokens")).toBe("0");
      }
    });
  });
}
