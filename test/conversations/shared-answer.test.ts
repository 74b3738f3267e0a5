import { expect, test } from "bun:test";
import { type BegunAnswer, SharedAnswer } from "../../core/conversations/shared-answer.ts";
import { ApiError } from "../../core/errors.ts";
import type { UpstreamEvent } from "../../core/types.ts";
import { settle } from "../fakes/fake-clock.ts";
import { textOf } from "../support/chat-request.ts";

const text = (delta: string): UpstreamEvent => ({ parts: [{ type: "text-delta", delta }] });

/** A source that yields a batch each time it is let. */
const steppedSource = () => {
  let signal: AbortSignal | undefined;
  let asked = 0;
  let isReleased = false;
  const steps: ((step: UpstreamEvent | Error | "end") => void)[] = [];
  async function* batches(given: AbortSignal): AsyncGenerator<readonly UpstreamEvent[]> {
    try {
      while (true) {
        asked++;
        const step = await new Promise<UpstreamEvent | Error | "end">((resolve, reject) => {
          steps.push(resolve);
          given.addEventListener("abort", () => reject(given.reason));
        });
        if (step === "end") return;
        if (step instanceof Error) throw step;
        yield [step];
      }
    } finally {
      isReleased = true;
    }
  }
  return {
    async ask(given: AbortSignal) {
      signal = given;
      const rest = batches(given);
      const { value: first = [] } = await rest.next();
      return { first, rest, close: () => void rest.return(undefined), servedBy: "first/model" };
    },
    /** Answers the oldest request for a batch. */
    async step(step: UpstreamEvent | Error | "end") {
      await settle();
      steps.shift()?.(step);
      await settle();
    },
    get signal() {
      return signal;
    },
    get asked() {
      return asked;
    },
    get isReleased() {
      return isReleased;
    },
  };
};

const setUp = () => {
  const source = steppedSource();
  let emptied = 0;
  const shared = new SharedAnswer(source.ask, () => emptied++);
  const join = (signal = new AbortController().signal) => shared.join(signal);
  return { source, shared, join, emptied: () => emptied };
};

const readAll = async (joining: Promise<BegunAnswer>): Promise<string> => {
  const { first, rest } = await joining;
  const events = [...first];
  for await (const some of rest) events.push(...some);
  return textOf(events.flatMap(({ parts }) => parts));
};

test("a shared answer asks once for all readers, who all learn the same of the answer", async () => {
  const { source, join } = setUp();
  const both = Promise.all([join(), join()]);
  await source.step(text("one"));
  expect(source.asked).toBe(1);
  for (const begun of await both)
    expect(begun).toMatchObject({ first: [text("one")], servedBy: "first/model" });
});

test("a shared answer gives the events so far to a reader who joins late", async () => {
  const { source, join } = setUp();
  const early = readAll(join());
  for (const step of [text("a"), text("b")]) await source.step(step);
  const late = readAll(join());
  await source.step(text("c"));
  await source.step("end");
  expect(await Promise.all([early, late])).toEqual(["abc", "abc"]);
});

test("a shared answer lets one join after the end as long as no reader has closed it", async () => {
  const { source, shared, join } = setUp();
  const early = readAll(join());
  await source.step(text("a"));
  await source.step("end");
  await early;
  expect(shared.isJoinable).toBeTrue();
  expect(await readAll(join())).toBe("a");
});

test("a shared answer asks for the next events only when a reader wants them", async () => {
  const { source, join } = setUp();
  const joining = join();
  await source.step(text("one"));
  await joining;
  await settle();
  expect(source.asked).toBe(1);
});

test("a shared answer goes on for those who stay when one leaves", async () => {
  const { source, join, emptied } = setUp();
  const leaving = join();
  const staying = readAll(join());
  await source.step(text("one"));
  (await leaving).close();
  await settle();
  expect(source.signal?.aborted).toBeFalse();
  await source.step("end");
  expect(await staying).toBe("one");
  expect(emptied()).toBe(0);
});

test("a shared answer ends the upstream call when the last reader leaves, for the reason that made it leave", async () => {
  const { source, shared, join, emptied } = setUp();
  const controller = new AbortController();
  const joining = [join(), join(controller.signal)] as const;
  await source.step(text("one"));
  const [first, second] = await Promise.all(joining);
  first.close();
  first.close();
  expect(shared.isJoinable).toBeTrue();
  controller.abort(new ApiError("upstream_timeout", "too late"));
  second.close();
  await settle();
  expect(source.signal?.reason).toMatchObject({ code: "upstream_timeout" });
  expect(source.isReleased).toBeTrue();
  expect(shared.isJoinable).toBeFalse();
  expect(emptied()).toBe(1);
});

test("a shared answer ends the upstream call when every reader leaves before it has begun", async () => {
  const { source, shared, join, emptied } = setUp();
  const controller = new AbortController();
  const joining = join(controller.signal).catch((error: ApiError) => error.code);
  await settle();
  controller.abort(new ApiError("client_closed_request", "gone"));
  expect(await joining).toBe("client_closed_request");
  await settle();
  expect(source.isReleased).toBeTrue();
  expect(shared.isJoinable).toBeFalse();
  expect(emptied()).toBe(1);
});

test("a shared answer fails for every reader when the upstream fails", async () => {
  const { source, shared, join } = setUp();
  const failures = [join(), join()].map((joining) => readAll(joining).catch((error: Error) => error.message));
  await source.step(text("one"));
  await source.step(new Error("broken"));
  expect(await Promise.all(failures)).toEqual(["broken", "broken"]);
  expect(shared.isJoinable).toBeFalse();
});
