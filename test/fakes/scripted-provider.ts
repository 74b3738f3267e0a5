import type {
  ChatRequest,
  Model,
  Provider,
  ProviderContext,
  StreamPart,
  UpstreamEvent,
} from "../../core/types.ts";

export interface ScriptedProvider extends Provider {
  /** What it was asked, in order. */
  readonly requests: { request: ChatRequest; context: ProviderContext }[];
  /** How many of its answers have been released. */
  readonly released: number;
}

export interface Script {
  readonly name?: string;
  readonly models?: readonly Model[];
  readonly answer?: (
    request: ChatRequest,
    context: ProviderContext,
  ) => AsyncIterable<StreamPart | UpstreamEvent>;
}

/** The parts of a plain reply. */
export async function* reply(...deltas: string[]): AsyncGenerator<StreamPart> {
  for (const delta of deltas) yield { type: "text-delta", delta };
  yield { type: "finish", reason: "stop" };
}

/** An answer that fails before its first part. */
export const failure = (error: Error): AsyncIterable<StreamPart> => ({
  [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }),
});

/** A provider that answers as the test says. */
export function scriptedProvider({
  name = "scripted",
  models,
  answer = () => reply("Hello", " there"),
}: Script = {}): ScriptedProvider {
  const requests: ScriptedProvider["requests"] = [];
  let released = 0;
  return {
    name,
    requests,
    get released() {
      return released;
    },
    models: () => models ?? [{ id: "test-model", createdAt: 1_700_000_000 }],
    async answer(request, context) {
      requests.push({ request, context });
      return { events: eventsOf(answer(request, context)) };
    },
  };

  async function* eventsOf(script: AsyncIterable<StreamPart | UpstreamEvent>) {
    try {
      for await (const step of script) yield ["parts" in step ? step : { parts: [step] }];
    } finally {
      released++;
    }
  }
}
