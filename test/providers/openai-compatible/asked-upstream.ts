/** The OpenAI-compatible provider before a stand-in upstream, for suites that ask it directly. */
import { expect } from "bun:test";
import { ApiError } from "../../../core/errors.ts";
import {
  type OpenAiCompatibleOptions,
  openAiCompatible,
} from "../../../core/providers/openai-compatible/provider.ts";
import type { StreamPart, UpstreamEvent } from "../../../core/types.ts";
import { eventStream, type Script, type Step } from "../../fakes/openai-upstream.ts";
import {
  chatRequest,
  providerContext,
  type RequestBody,
  readAnswer,
  textOf,
} from "../../support/chat-request.ts";
import { testUpstream } from "../../support/gateway-before-upstreams.ts";

export const events = (...steps: Step[]): Script => ({ headers: eventStream, steps });

export const asError = (error: unknown): ApiError => {
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
};

export const kinds = (parts: readonly StreamPart[]) => parts.map((part) => part.type);

/** The events as the upstream sent them, where they are told so. */
export const nativeEvents = (read: readonly UpstreamEvent[]) =>
  // biome-ignore lint/suspicious/noExplicitAny: what came is for tests to look at
  read.flatMap(({ native }): any[] => (native === undefined ? [] : [native.event]));

/** An upstream that ends with the test file, and a provider before it; for the top of a suite. */
export async function askedUpstream() {
  const upstream = await testUpstream();

  const provider = (options: Partial<OpenAiCompatibleOptions> = {}) =>
    openAiCompatible({ name: "stand-in", baseUrl: upstream.baseUrl, ...options });

  /** Asks and waits for everything. */
  const ask = async (from: string | RequestBody, options: Partial<OpenAiCompatibleOptions> = {}) => {
    const read = await readAnswer(provider(options).answer(chatRequest(from), providerContext()));
    return { ...read, text: textOf(read.parts), sent: upstream.calls.at(-1)?.body };
  };

  return { upstream, provider, ask };
}
