import { expect, test } from "bun:test";
import { sharedAnswer } from "../../core/conversations/shared-answer.ts";
import { ApiError } from "../../core/errors.ts";
import type { StreamPart, StreamParts } from "../../core/types.ts";
import { settle } from "../fakes/fake-clock.ts";
import { partsOf, textOf } from "../support/chat-request.ts";

const text = (delta: string): StreamPart => ({ type: "text-delta", delta });

/** A source that yields a part each time it is let. */
const steppedSource = () => {
  let signal: AbortSignal | undefined;
  let asked = 0;
  let isReleased = false;
  const steps: ((step: StreamPart | Error | "end") => void)[] = [];
  async function* start(given: AbortSignal): AsyncGenerator<StreamPart> {
    signal = given;
    try {
      while (true) {
        asked++;
        const step = await new Promise<StreamPart | Error | "end">((resolve, reject) => {
          steps.push(resolve);
          given.addEventListener("abort", () => reject(given.reason));
        });
        if (step === "end") return;
        if (step instanceof Error) throw step;
        yield step;
      }
    } finally {
      isReleased = true;
    }
  }
  return {
    start,
    /** Answers the oldest request for a part. */
    step: (step: StreamPart | Error | "end") => steps.shift()?.(step),
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
  const shared = sharedAnswer(source.start, () => emptied++);
  const join = (signal = new AbortController().signal) => shared.join(signal);
  return { source, shared, join, emptied: () => emptied };
};

const rest = async (reader: AsyncIterable<StreamParts>): Promise<string> => {
  const { parts, error } = await partsOf(reader);
  if (error !== undefined) throw error;
  return textOf(parts);
};

test("a shared answer asks the source once for all readers", async () => {
  const { source, join } = setUp();
  const [first, second] = [join(), join()];
  const both = Promise.all([first.next(), second.next()]);
  await settle();
  expect(source.asked).toBe(1);
  source.step(text("one"));
  expect(await both).toEqual([
    { value: text("one"), done: false },
    { value: text("one"), done: false },
  ]);
});

test("a shared answer gives the parts so far to a reader who joins late", async () => {
  const { source, join } = setUp();
  const first = join();
  const early = rest(first);
  for (const step of [text("a"), text("b")]) {
    await settle();
    source.step(step);
  }
  await settle();
  const late = rest(join());
  await settle();
  source.step(text("c"));
  await settle();
  source.step("end");
  expect(await Promise.all([early, late])).toEqual(["abc", "abc"]);
});

test("a shared answer lets one join after the end as long as nobody has let go of it", async () => {
  const { source, shared, join } = setUp();
  const first = join();
  const early = rest(first);
  await settle();
  source.step("end");
  await early;
  expect(shared.isJoinable).toBeTrue();
  expect(await rest(join())).toBe("");
});

test("a shared answer asks for the next part only when a reader wants it", async () => {
  const { source, join } = setUp();
  const reader = join();
  const next = reader.next();
  await settle();
  source.step(text("one"));
  await next;
  await settle();
  expect(source.asked).toBe(1);
});

test("a shared answer goes on for those who stay when one leaves", async () => {
  const { source, join, emptied } = setUp();
  const [first, second] = [join(), join()];
  const staying = rest(second);
  await first.return?.();
  await settle();
  expect(source.signal?.aborted).toBeFalse();
  source.step(text("one"));
  await settle();
  source.step("end");
  expect(await staying).toBe("one");
  expect(emptied()).toBe(0);
});

test("a shared answer ends the source when the last one leaves, for the reason that made him leave", async () => {
  const { source, shared, join, emptied } = setUp();
  const controller = new AbortController();
  const [first, second] = [join(), join(controller.signal)];
  first.next().catch(() => {});
  await settle();
  await first.return?.();
  await first.return?.();
  expect(shared.isJoinable).toBeTrue();
  controller.abort(new ApiError("upstream_timeout", "too late"));
  await second.return?.();
  await settle();
  expect(source.signal?.reason).toMatchObject({ code: "upstream_timeout" });
  expect(source.isReleased).toBeTrue();
  expect(shared.isJoinable).toBeFalse();
  expect(emptied()).toBe(1);
});

test("a shared answer fails for every reader when the source fails", async () => {
  const { source, shared, join } = setUp();
  const [first, second] = [join(), join()];
  const failures = [first, second].map((reader) => rest(reader).catch((error: Error) => error.message));
  await settle();
  source.step(text("one"));
  await settle();
  source.step(new Error("broken"));
  expect(await Promise.all(failures)).toEqual(["broken", "broken"]);
  expect(shared.isJoinable).toBeFalse();
});
