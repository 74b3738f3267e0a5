/** What must be true of responses wherever several gateways share one store. */
import { afterAll, describe, expect, test } from "bun:test";
import { startOpenAiUpstream } from "../../fakes/openai-upstream.ts";
import { type Json, readEvents } from "../../support/responses.ts";
import { startServer } from "../../support/start-server.ts";
import { until } from "../../support/until.ts";

export interface ResponsesAcrossOptions {
  readonly count: number;
  readonly env: Readonly<Record<string, string>>;
  readonly command?: readonly [string, ...string[]];
}

const keys = { ann: "sk-ann-0123456789", bob: "sk-bob-0123456789" };

/** Declares the suite. */
export async function responsesAcross(name: string, { count, env, command }: ResponsesAcrossOptions) {
  const upstream = await startOpenAiUpstream();
  afterAll(() => upstream.close());
  /** Speaks Responses itself. */
  const own = await startOpenAiUpstream();
  afterAll(() => own.close());
  const settings = {
    KIMI_WEB: "off",
    OPENAI_BASE_URL: upstream.baseUrl,
    OPENAI_MODELS: "echo",
    PROVIDERS: JSON.stringify([{ name: "own", baseUrl: own.baseUrl, models: ["echo"], responses: true }]),
    API_KEYS: JSON.stringify(keys),
    ...env,
  };
  const start = (more: Record<string, string> = {}) =>
    startServer({ ...(command && { command }), env: { ...settings, ...more } });
  const servers = await Promise.all(Array.from({ length: count }, () => start()));
  afterAll(() => Promise.all(servers.map((server) => server.stop())));

  const send = (gateway: number, path = "", body?: object, key = keys.ann, method = body ? "POST" : "GET") =>
    fetch(`${servers[gateway % servers.length]?.url}/v1/responses${path}`, {
      method,
      headers: { authorization: `Bearer ${key}` },
      ...(body && { body: JSON.stringify(body) }),
    });

  /** One turn; the response, however it came. */
  const say = async (gateway: number, input: string, previous?: string, stream = false): Promise<Json> => {
    const answer = await send(gateway, "", { input, stream, previous_response_id: previous });
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(text);
    return stream ? readEvents(text).at(-1).response : JSON.parse(text);
  };

  /** What the upstream was told before it answered this text. */
  const toldBefore = (text: string): string[] => {
    const asked = upstream.calls.filter(({ body }) => body?.messages.at(-1)?.content === text);
    expect(asked).toHaveLength(1);
    return asked[0]?.body.messages.slice(0, -1).map(({ content }: Json) => content);
  };

  const chainOf = (texts: readonly string[]): string[] => texts.flatMap((text) => [text, `Echo: ${text}`]);

  describe(name, () => {
    test("200 turns of one chain, each at another gateway, lose nothing", async () => {
      const texts: string[] = [];
      let previous: string | undefined;
      for (let turn = 0; turn < 200; turn++) {
        const text = `chain-${turn}`;
        ({ id: previous } = await say(turn, text, previous, turn % 3 === 0));
        expect(toldBefore(text)).toEqual(chainOf(texts));
        texts.push(text);
      }
    });

    test("20 branches of one response at once keep apart", async () => {
      const { id } = await say(0, "root");
      const branch = async (index: number) => {
        const texts = ["root"];
        let previous = id;
        for (let turn = 0; turn < 5; turn++) {
          const text = `branch-${index}-${turn}`;
          ({ id: previous } = await say(index + turn, text, previous, turn % 2 === 0));
          expect(toldBefore(text)).toEqual(chainOf(texts));
          texts.push(text);
        }
      };
      await Promise.all(Array.from({ length: 20 }, (_, index) => branch(index)));
    });

    test("what one gateway answers, another shows, lists and deletes, for the same key alone", async () => {
      const response = await say(0, "shown");
      expect(await (await send(1, `/${response.id}`)).json()).toEqual(response);
      const { data } = await (await send(1, `/${response.id}/input_items`)).json();
      expect(data).toMatchObject([{ content: [{ text: "shown" }] }]);
      const next = { input: "stolen", previous_response_id: response.id };
      expect((await send(1, "", next, keys.bob)).status).toBe(400);
      for (const method of ["GET", "DELETE"]) {
        expect((await send(1, `/${response.id}`, undefined, keys.bob, method)).status).toBe(404);
      }
      expect((await send(1, `/${response.id}`, undefined, keys.ann, "DELETE")).status).toBe(200);
      expect((await send(0, `/${response.id}`)).status).toBe(404);
      const lost = await send(0, "", { ...next, input: "lost" });
      expect([lost.status, (await lost.json()).error.code]).toEqual([400, "previous_response_not_found"]);
      expect(upstream.calls.some(({ body }) => /stolen|lost/.test(JSON.stringify(body ?? "")))).toBe(false);
    });

    test("what an upstream keeps, every gateway leads to, for the same key alone, and after one is killed", async () => {
      const victim = servers.push(await start()) - 1;
      const model = "own/echo";
      const first = await (await send(victim, "", { model, input: "one" })).json();
      process.kill(servers[victim]?.pid as number, "SIGKILL");
      const next = { model, input: "two", previous_response_id: first.id };
      const turns = await Promise.all(
        Array.from({ length: 10 }, async (_, gateway) => (await send(gateway % count, "", next)).json()),
      );
      for (const { usage } of turns) expect(usage.input_tokens).toBe(3);
      expect(new Set(turns.map(({ id }) => id))).toEqual(new Set(own.responses.kept.slice(1)));
      expect(await (await send(1, `/${first.id}`)).json()).toEqual(first);
      const calls = own.calls.length;
      expect((await send(0, `/${first.id}`, undefined, keys.bob)).status).toBe(404);
      expect((await send(0, "", next, keys.bob)).status).toBe(400);
      expect(own.calls.length).toBe(calls);
      expect((await send(0, `/${first.id}`, undefined, keys.ann, "DELETE")).status).toBe(200);
      expect((await send(1, `/${first.id}`)).status).toBe(404);
    });

    test("a response is gone when its time is over", async () => {
      const brief = servers.push(await start({ RESPONSES_TTL: "1" })) - 1;
      const { id } = await say(brief, "brief");
      expect((await send(0, `/${id}`)).status).toBe(200);
      await until(async () => (await send(0, `/${id}`)).status === 404);
    });

    test("what a gateway has answered is there after it is killed", async () => {
      const victim = servers.push(await start()) - 1;
      const chats = Array.from({ length: 10 }, async (_, index) => {
        const texts: string[] = [];
        let previous: string | undefined;
        for (let turn = 0; turn < 8; turn++) {
          if (index === 0 && turn === 4) process.kill(servers[victim]?.pid as number, "SIGKILL");
          const text = `killed-${index}-${turn}`;
          const at = (gateway: number) =>
            say(gateway, `${text}${gateway === victim ? "" : "!"}`, previous, true);
          // A stream that breaks off is asked for again elsewhere; what was answered before is there.
          const other = index % count;
          const { id, output } = await (turn % 2 === 0 ? at(victim).catch(() => at(other)) : at(other));
          const said: string = output[0].content[0].text.slice("Echo: ".length);
          expect(toldBefore(said)).toEqual(chainOf(texts));
          texts.push(said);
          previous = id;
        }
      });
      await Promise.all(chats);
    });
  });
}
