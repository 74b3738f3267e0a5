/** A gateway before a stand-in that speaks Responses, for suites of what is passed on. */
import { openAiCompatible } from "../../../core/providers/openai-compatible/provider.ts";
import type { Provider } from "../../../core/types.ts";
import { systemClock } from "../../../core/util/time.ts";
import { countingStore } from "../../fakes/counting-store.ts";
import type { OpenAiUpstream } from "../../fakes/openai-upstream.ts";
import { testUpstream } from "../../support/gateway-before-upstreams.ts";
import { type Json, responsesHandler } from "../../support/responses.ts";

export const upstreamKey = "sk-upstream-0123456789";

export const provider = ({ baseUrl }: OpenAiUpstream, name = "own"): Provider =>
  openAiCompatible({
    name,
    baseUrl,
    apiKey: upstreamKey,
    models: ["echo", "reasoner"],
    responses: true,
  });

/** A stand-in that ends with the test file, and gateways before it. */
export async function passingOn() {
  const upstream = await testUpstream();

  /** A gateway before the stand-in, and whatever else the test brings. */
  const gateway = (
    env: Record<string, string> = {},
    options: Parameters<typeof responsesHandler>[1] = {},
  ) => {
    const store = countingStore(options.clock ?? systemClock);
    const made = responsesHandler(env, { store, providers: [provider(upstream)], ...options });
    const ask = async (path: string, init?: RequestInit) => {
      const answer = await made.send(`/v1/responses/${path}`, init);
      return { status: answer.status, body: await answer.json() };
    };
    return { ...made, ask, store };
  };

  return { upstream, gateway };
}

export const named = (response: Json, model: string) => ({ ...response, model });
