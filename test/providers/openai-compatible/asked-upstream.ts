/** The OpenAI-compatible provider before a stand-in upstream, for suites that ask it directly. */
import { expect } from "bun:test";
import { ApiError } from "../../../core/errors.ts";
import {
  type OpenAiCompatibleOptions,
  openAiCompatible,
} from "../../../core/providers/openai-compatible/provider.ts";
import type { StreamPart } from "../../../core/types.ts";
import { eventStream, type Script, type Step } from "../../fakes/openai-upstream.ts";
import {
  chatRequest,
  partsOf,
  providerContext,
  type RequestBody,
  textOf,
} from "../../support/chat-request.ts";
import { testUpstream } from "../../support/gateway-before-upstreams.ts";

export const events = (...steps: Step[]): Script => ({ headers: eventStream, steps });

export const asError = (error: unknown): ApiError => {
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
};

export const kinds = (parts: readonly StreamPart[]) => parts.map((part) => part.type);

/** An upstream that ends with the test file, and a provider before it; for the top of a suite. */
export async function askedUpstream() {
  const upstream = await testUpstream();

  const provider = (options: Partial<OpenAiCompatibleOptions> = {}) =>
    openAiCompatible({ name: "stand-in", baseUrl: upstream.baseUrl, ...options });

  /** Asks and waits for everything. */
  const ask = async (from: string | RequestBody, options: Partial<OpenAiCompatibleOptions> = {}) => {
    const context = providerContext();
    const { parts, error } = await partsOf(provider(options).stream(chatRequest(from), context));
    return { parts, error, text: textOf(parts), trace: context.trace, sent: upstream.calls.at(-1)?.body };
  };

  return { upstream, provider, ask };
}
