import { fakeClock } from "../fakes/fake-clock.ts";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, testHandler } from "../support/test-handler.ts";

/** A request for a stream. */
export const streamed = { ...hello, stream: true };

/** A handler whose one provider answers so. */
export const withAnswer = (
  answer: NonNullable<Parameters<typeof scriptedProvider>[0]>["answer"] & object,
) => {
  const provider = scriptedProvider({ answer });
  const clock = fakeClock();
  return { ...testHandler({}, { providers: [provider], clock }), provider, clock };
};

/** Ends only when the request does. */
export const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
  );
