/**
 * Holds every answer that this process gets from a gateway against the API's document, while it is read. What differs
 * fails the test that got it, see expect-documented.ts.
 */
import type { FetchContext } from "../../core/http/keep-work-alive.ts";
import { type Asked, differences, isBeside, operationOf } from "./documented-answers.ts";

type Handle = (request: Request, context?: FetchContext) => Promise<Response>;

const found: string[] = [];
const counts = new Map<string, number>();

const count = (what: string | undefined) => {
  if (what !== undefined) counts.set(what, watchedAnswers(what) + 1);
};

/** How many answers were looked at: of an operation, by its id, or of a started gateway, by its origin. */
export const watchedAnswers = (what: string): number => counts.get(what) ?? 0;

/** What was found since this was last asked. */
export const takeDifferences = (): string[] => found.splice(0);

function countAnswer(asked: Asked): void {
  count(operationOf(asked)?.id);
  count(new URL(asked.url).origin);
}

function look(asked: Asked, { status, headers }: Response, text: string, isWhole: boolean): void {
  found.push(...differences(asked, { status, type: headers.get("content-type") ?? "", text, isWhole }));
}

/** The same answer: its head is looked at now, its body once it has been read, or let go of. */
export function watched(asked: Asked, response: Response): Response {
  if (isBeside(asked)) return response;
  countAnswer(asked);
  const { body, url } = response;
  look(asked, response, "", body === null);
  if (body === null) return response;
  const decoder = new TextDecoder();
  let text = "";
  const reader = body.getReader();
  const seen = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) {
            look(asked, response, text + decoder.decode(), true);
            controller.close();
            return;
          }
          text += decoder.decode(value, { stream: true });
          controller.enqueue(value);
        } catch (error) {
          look(asked, response, text, false);
          throw error;
        }
      },
      cancel(reason) {
        look(asked, response, text, false);
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
  const copy = new Response(seen, response);
  Object.defineProperty(copy, "url", { value: url });
  return copy;
}

/** A handler whose answers are looked at. */
export const watching =
  (handle: Handle): Handle =>
  async (request, context) => {
    const response = await handle(request, context);
    const isJson = response.headers.get("content-type")?.startsWith("application/json");
    if (!isJson || isBeside(request)) return watched(request, response);
    countAnswer(request);
    const text = await response.text();
    look(request, response, text, true);
    return new Response(text, response);
  };

const origins = new Set<string>();

/** Has all that this process gets from a gateway looked at, until the function that it returns is called. */
export function watchGateway(url: string): () => void {
  const { origin } = new URL(url);
  origins.add(origin);
  return () => origins.delete(origin);
}

const { fetch } = globalThis;
globalThis.fetch = Object.assign(
  async (...args: Parameters<typeof fetch>) => {
    const [input, init] = args;
    const response = await fetch(...args);
    const url = input instanceof Request ? input.url : String(input);
    if (!origins.has(new URL(url).origin)) return response;
    const method = init?.method ?? (input instanceof Request ? input.method : "GET");
    return watched({ method: method.toUpperCase(), url }, response);
  },
  { preconnect: fetch.preconnect },
);
