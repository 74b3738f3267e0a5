/** What every provider must do, whoever wrote it: docs/providers.md. Run it over one with `providerContract`. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ApiError } from "../../core/errors.ts";
import { silentLogger } from "../../core/operations/log.ts";
import type { ChatRequest, MaybePromise, Provider } from "../../core/types.ts";
import { chatRequest, eventsOf, providerContext, readAnswer, textOf } from "../support/chat-request.ts";

/** An upstream's call that gets no answer, or no more of it. */
export interface HangingCall {
  /** Resolves once the call has reached the upstream. */
  readonly reached: Promise<unknown>;
  /** Resolves once the provider has let go of it. */
  readonly released: Promise<unknown>;
}

/** A provider before an upstream that repeats the newest message in its reply. */
export interface ProviderFixture {
  readonly provider: Provider;
  /** Makes the upstream leave the next call hanging. */
  hangNext(when: "before the first event" | "after the first event"): MaybePromise<HangingCall>;
  /** Makes the upstream fail the next call, for good. */
  failNext(): MaybePromise<void>;
  close(): MaybePromise<void>;
}

export interface ProviderTraits {
  /** False where the upstream gives its reply in one piece, so that nothing can happen in the middle of it. */
  readonly streams: boolean;
}

const frozen = <T>(value: T): T => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(frozen);
  }
  return value;
};

/** Registers the suite. */
export function providerContract(
  name: string,
  setUp: () => MaybePromise<ProviderFixture>,
  { streams }: ProviderTraits = { streams: true },
): void {
  describe(`provider contract: ${name}`, () => {
    let fixture: ProviderFixture;
    let model: string;
    const { log } = providerContext();
    const unlessStreaming = streams ? "" : " (skipped: its replies come in one piece)";
    const reason = new ApiError("client_closed_request", "The client closed the connection.");
    const listModels = async () => fixture.provider.models({ signal: new AbortController().signal, log });

    beforeAll(async () => {
      fixture = await setUp();
      model = (await listModels())[0]?.id ?? "";
    });
    afterAll(() => fixture.close());

    const request = (text: string, stream = true): ChatRequest =>
      frozen(chatRequest({ model, stream, messages: [{ role: "user", content: text }] }));
    const ask = (text: string, stream = true, context = providerContext()) =>
      readAnswer(fixture.provider.answer(request(text, stream), context));

    /** Starts a call that hangs, and reads as far as it gets. */
    const hang = async (when: "before the first event" | "after the first event") => {
      const call = await fixture.hangNext(when);
      const controller = new AbortController();
      const answering = fixture.provider.answer(request("Hang on"), providerContext(controller.signal));
      const iterator = eventsOf(answering);
      if (when === "after the first event") await iterator.next();
      const next = iterator.next().then(
        () => "an event",
        (error: unknown) => error,
      );
      await call.reached;
      return { call, controller, next };
    };

    test("has a name that can stand before a slash", () => {
      expect(fixture.provider.name).toMatch(/^[a-z0-9_-]+$/);
    });

    test("lists models with unique ids and times that stay", async () => {
      const models = await listModels();
      expect(models.length).toBeGreaterThan(0);
      expect(new Set(models.map(({ id }) => id)).size).toBe(models.length);
      for (const { id, createdAt } of models) {
        expect(id).not.toBe("");
        expect(Number.isInteger(createdAt)).toBe(true);
      }
      expect(await listModels()).toEqual(models);
    });

    test("warms up without failing", async () => {
      expect(await fixture.provider.warmUp?.({ log: silentLogger })).toBeUndefined();
    });

    test.each([true, false])("answers in parts that end with a finish, stream: %p", async (stream) => {
      const { parts, answer, error } = await ask("Say cheese", stream);
      expect(error).toBeUndefined();
      expect(textOf(parts)).toContain("Say cheese");
      const finishes = parts.filter(({ type }) => type === "finish");
      expect(finishes).toEqual([{ type: "finish", reason: "stop" }]);
      const afterwords = parts.slice(parts.findIndex(({ type }) => type === "finish") + 1);
      expect(afterwords.filter(({ type }) => type !== "usage")).toEqual([]);
      for (const part of parts)
        if (part.type.endsWith("-delta")) expect(part).not.toHaveProperty("delta", "");
      expect(answer?.calls ?? 1).toBeGreaterThanOrEqual(1);
      expect(answer?.context?.droppedMessages ?? 0).toBe(0);
    });

    test("gives the same text streaming or not", async () => {
      const text = "Grüße, 👩‍👩‍👧 & <b>tags</b>";
      expect(textOf((await ask(text, true)).parts)).toBe(textOf((await ask(text, false)).parts));
    });

    test("tells the model what was said before", async () => {
      const messages = [
        { role: "system", content: "Be kind." },
        { role: "user", content: "First" },
        { role: "assistant", content: "Second" },
        { role: "user", content: "Third" },
      ] as const;
      const answering = fixture.provider.answer(frozen(chatRequest({ model, messages })), providerContext());
      const { parts, error } = await readAnswer(answering);
      expect(error).toBeUndefined();
      expect(textOf(parts)).toContain("Third");
    });

    test("keeps calls at the same time apart", async () => {
      const texts = Array.from({ length: 8 }, (_, index) => `Call number ${index}!`);
      const answers = await Promise.all(texts.map((text, index) => ask(text, index % 2 === 0)));
      for (const [index, { parts, error }] of answers.entries()) {
        expect(error).toBeUndefined();
        expect(textOf(parts).match(/Call number \d!/g)).toEqual([texts[index] as string]);
      }
    });

    test.each([true, false])("fails with an ApiError, and works again, stream: %p", async (stream) => {
      await fixture.failNext();
      const { parts, error } = await ask("Fail", stream);
      expect(parts).toEqual([]);
      expect(error).toBeInstanceOf(ApiError);
      expect((error as ApiError).code).not.toBe("internal_error");
      expect(textOf((await ask("Work", stream)).parts)).toContain("Work");
    });

    test("throws the signal's reason when it has aborted before", async () => {
      const { parts, error } = await ask("Never", true, providerContext(AbortSignal.abort(reason)));
      expect(parts).toEqual([]);
      expect(error).toBe(reason);
    });

    test("throws the signal's reason and lets go of the upstream before the first event", async () => {
      const { call, controller, next } = await hang("before the first event");
      controller.abort(reason);
      expect(await next).toBe(reason);
      await call.released;
    });

    test.skipIf(!streams)(
      `throws the signal's reason and lets go of the upstream after the first event${unlessStreaming}`,
      async () => {
        const { call, controller, next } = await hang("after the first event");
        controller.abort(reason);
        expect(await next).toBe(reason);
        await call.released;
      },
    );

    test.skipIf(!streams)(
      `lets go of the upstream when the iterator is left early${unlessStreaming}`,
      async () => {
        const call = await fixture.hangNext("after the first event");
        for await (const events of eventsOf(fixture.provider.answer(request("Leave"), providerContext()))) {
          expect(events).not.toEqual([]);
          break;
        }
        await call.released;
      },
    );

    test("is none the worse when the iterator is left after the first event", async () => {
      for await (const events of eventsOf(fixture.provider.answer(request("Leave"), providerContext()))) {
        expect(events).not.toEqual([]);
        break;
      }
      expect(textOf((await ask("Stay")).parts)).toContain("Stay");
    });
  });
}
