/** The clients that read the recordings, each to all that it knows of an answer. */
import { createDeepSeek } from "@ai-sdk/deepseek";
import { createGroq } from "@ai-sdk/groq";
import { createMistral } from "@ai-sdk/mistral";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createPerplexity } from "@ai-sdk/perplexity";
import { createXai } from "@ai-sdk/xai";
import { ChatOpenAI } from "@langchain/openai";
import { HTTPClient, Mistral } from "@mistralai/mistralai";
import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { generateText, type LanguageModel, streamText } from "ai";
import Groq from "groq-sdk";
import OpenAI from "openai";
import type { Json } from "./vendors.ts";

/** What a client calls instead of the network. */
export type Send = (request: Request) => Promise<Response>;

export interface Reader {
  readonly name: string;
  read(send: Send, stream: boolean): Promise<Json>;
}

const baseURL = "http://127.0.0.1:1/v1";
const apiKey = "sk-test";
const messages = [{ role: "user" as const, content: "Why?" }];
const question = { model: "echo", messages };

const fetchBy = (send: Send): typeof fetch =>
  ((input: RequestInfo | URL, init?: RequestInit) => send(new Request(input, init))) as typeof fetch;

const readOpenAi = async (send: Send, stream: boolean, options: object): Promise<Json> => {
  const client = new OpenAI({ apiKey, baseURL, maxRetries: 0, fetch: fetchBy(send) });
  if (!stream) return client.chat.completions.create(question);
  return Array.fromAsync(await client.chat.completions.create({ ...question, stream: true, ...options }));
};

/** By OpenAI's helper, which puts the answer together and is strict about its events. */
const readAccumulated = async (send: Send): Promise<Json> => {
  const client = new OpenAI({ apiKey, baseURL, maxRetries: 0, fetch: fetchBy(send) });
  return client.chat.completions.stream(question).finalChatCompletion();
};

const readLangChain = async (send: Send, stream: boolean): Promise<Json> => {
  const configuration = { baseURL, fetch: fetchBy(send) };
  const chat = new ChatOpenAI({ model: "echo", apiKey, maxRetries: 0, configuration });
  if (!stream) return chat.invoke("Why?");
  const chunks = await Array.fromAsync(await chat.stream("Why?"));
  return chunks.reduce((sum, chunk) => sum.concat(chunk));
};

const readGroq = async (send: Send, stream: boolean): Promise<Json> => {
  const groq = new Groq({ apiKey, baseURL: "http://127.0.0.1:1", maxRetries: 0, fetch: fetchBy(send) });
  if (!stream) return groq.chat.completions.create(question);
  return Array.fromAsync(await groq.chat.completions.create({ ...question, stream: true }));
};

const readMistral = async (send: Send, stream: boolean): Promise<Json> => {
  const httpClient = new HTTPClient({ fetcher: (input, init) => fetchBy(send)(input as Request, init) });
  const mistral = new Mistral({ apiKey, serverURL: "http://127.0.0.1:1", httpClient });
  return stream ? Array.fromAsync(await mistral.chat.stream(question)) : mistral.chat.complete(question);
};

/** By the AI SDK, through a vendor's own provider. */
const byAiSdk =
  (model: (settings: { apiKey: string; baseURL: string; fetch: typeof fetch }) => LanguageModel) =>
  async (send: Send, stream: boolean): Promise<Json> => {
    const options = { model: model({ apiKey, baseURL, fetch: fetchBy(send) }), messages, maxRetries: 0 };
    if (!stream) {
      const { content, finishReason, usage, providerMetadata } = await generateText(options);
      return { content, finishReason, usage, providerMetadata };
    }
    const parts = await Array.fromAsync(streamText({ ...options, onError() {} }).fullStream);
    const failed = parts.find(({ type }) => type === "error") as { error: unknown } | undefined;
    if (failed !== undefined) throw failed.error;
    return parts.filter(({ type }) => type !== "start" && type !== "start-step");
  };

export const readers: readonly Reader[] = [
  { name: "openai", read: (send, stream) => readOpenAi(send, stream, {}) },
  {
    name: "openai, with token counts",
    read: (send, stream) => readOpenAi(send, stream, { stream_options: { include_usage: true } }),
  },
  {
    name: "openai's stream helper",
    read: (send, stream) => (stream ? readAccumulated(send) : readOpenAi(send, false, {})),
  },
  { name: "LangChain", read: readLangChain },
  { name: "groq-sdk", read: readGroq },
  { name: "@mistralai/mistralai", read: readMistral },
  {
    name: "@ai-sdk/openai-compatible",
    read: byAiSdk((settings) =>
      createOpenAICompatible({ name: "any", includeUsage: true, ...settings }).chatModel("echo"),
    ),
  },
  { name: "@ai-sdk/groq", read: byAiSdk((settings) => createGroq(settings)("echo")) },
  { name: "@ai-sdk/mistral", read: byAiSdk((settings) => createMistral(settings)("echo")) },
  { name: "@ai-sdk/perplexity", read: byAiSdk((settings) => createPerplexity(settings)("echo")) },
  { name: "@ai-sdk/deepseek", read: byAiSdk((settings) => createDeepSeek(settings)("echo")) },
  { name: "@ai-sdk/xai", read: byAiSdk((settings) => createXai(settings).chat("echo")) },
  {
    name: "@openrouter/ai-sdk-provider",
    read: byAiSdk((settings) => createOpenRouter(settings).chat("echo")),
  },
];

/** What differs from call to call: times, and ids that clients make up. */
const fleeting = new Set([
  "created",
  "timestamp",
  "performance",
  "headers",
  "requestId",
  "callId",
  "request",
]);

/** An answer without that, and with the gateway's own ids counted. */
export function comparable(answer: Json): Json {
  const ids: string[] = [];
  const isFleeting = (name: string, value: unknown) =>
    fleeting.has(name) || (name === "id" && /^(aitxt-)?[A-Za-z0-9]{16,}$/.test(String(value)));
  const json = JSON.stringify(answer, (name, value) => (isFleeting(name, value) ? undefined : value))
    .replace(/chatcmpl-[0-9a-f]+/g, "chatcmpl-0")
    .replace(/call_[0-9a-f]{32}/g, (id) => {
      if (!ids.includes(id)) ids.push(id);
      return `call_own_${ids.indexOf(id)}`;
    });
  return JSON.parse(json);
}
