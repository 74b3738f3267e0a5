import { describe, expect, test } from "bun:test";
import type { OpenAiCompatibleOptions } from "../../../core/providers/openai-compatible/provider.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { forever, jsonScript, modelIds } from "../../fakes/openai-upstream.ts";
import { providerContext } from "../../support/chat-request.ts";
import { asError, askedUpstream } from "./asked-upstream.ts";

const { upstream, provider } = await askedUpstream();

describe("the models of an upstream", () => {
  const list = (options: Partial<OpenAiCompatibleOptions>, signal = new AbortController().signal) => {
    const asked = provider(options);
    return () => Promise.resolve(asked.models({ signal, log: providerContext().log }));
  };
  const modelCalls = () => upstream.calls.filter(({ url }) => url.startsWith("/v1/models")).length;
  const idsOf = (models: readonly { id: string }[]) => models.map(({ id }) => id);

  test("are those that were named", async () => {
    const before = modelCalls();
    const models = await list({
      models: ["a", { id: "b", upstreamId: "vendor/b", aliases: ["c"], createdAt: 5 }],
    })();
    expect(models).toEqual([
      { id: "a", createdAt: 1_735_689_600 },
      { id: "b", aliases: ["c"], createdAt: 5 },
    ]);
    expect(modelCalls()).toBe(before);
  });

  test("are asked for once, by any number of callers, and again after five minutes", async () => {
    const clock = fakeClock();
    const models = list({ clock });
    const before = modelCalls();
    const lists = await Promise.all([models(), models(), models()]);
    for (const each of lists) expect(idsOf(each)).toEqual([...modelIds]);
    await models();
    expect(modelCalls()).toBe(before + 1);
    await clock.advance(5 * 60_000);
    await models();
    expect(modelCalls()).toBe(before + 2);
    expect(clock.pending).toBe(0);
  });

  test("stay as they were while the upstream fails, which is not asked again at once", async () => {
    const clock = fakeClock();
    const models = list({ clock });
    await models();
    await clock.advance(5 * 60_000);
    const before = modelCalls();
    upstream.script(jsonScript(500, {}));
    expect(idsOf(await models())).toEqual([...modelIds]);
    expect(idsOf(await models())).toEqual([...modelIds]);
    expect(modelCalls()).toBe(before + 1);
  });

  test("that never came are an error, for ten seconds the same", async () => {
    const clock = fakeClock();
    const models = list({ clock });
    upstream.script(jsonScript(200, { nothing: true }));
    expect(asError(await models().catch((error) => error)).code).toBe("upstream_invalid_response");
    expect(asError(await models().catch((error) => error)).code).toBe("upstream_invalid_response");
    await clock.advance(10_000);
    expect(idsOf(await models())).toEqual([...modelIds]);
  });

  test("may come as a bare list with rubbish in it", async () => {
    upstream.script(jsonScript(200, [{ id: "a" }, { id: "a" }, null, { id: 7 }, "b"]));
    expect(idsOf(await list({})())).toEqual(["a"]);
  });

  test("are not waited for by who has left, only by the others", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const asked = provider();
    const { log } = providerContext();
    upstream.script({ steps: [() => promise, JSON.stringify({ data: [{ id: "a" }] })] });
    const leaver = new AbortController();
    const left = Promise.resolve(asked.models({ signal: leaver.signal, log })).catch((error) => error);
    const stayed = asked.models({ signal: new AbortController().signal, log });
    leaver.abort("gone");
    expect(await left).toBe("gone");
    resolve();
    expect(idsOf(await stayed)).toEqual(["a"]);
  });

  test("are given up after five seconds", async () => {
    const clock = fakeClock();
    upstream.script({ steps: [forever] });
    const reached = upstream.nextCall();
    const waiting = list({ clock })().catch((error) => error);
    await reached;
    await clock.advance(5_000);
    expect(asError(await waiting).code).toBe("upstream_timeout");
  });
});
