/**
 * Any sequence of turns, failures, abandoned requests, retries and deletions over the API: the model is told of exactly
 * the turns that were finished, once each and in order, and of nobody else's.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ApiError } from "../../core/errors.ts";
import { reply, scriptedProvider } from "../fakes/scripted-provider.ts";
import { sseData, testHandler } from "../support/test-handler.ts";
import { until } from "../support/until.ts";

const keys = ["sk-a", "sk-b"] as const;
const sessions = [
  { headers: { "x-session-id": "one" }, fields: {} },
  { headers: { "x-session-id": "two" }, fields: {} },
  { headers: {}, fields: { user: "one" } },
] as const;

const anyStep = fc.record({
  key: fc.constantFrom(...keys),
  session: fc.nat(sessions.length - 1),
  stream: fc.boolean(),
  action: fc.oneof(
    { weight: 4, arbitrary: fc.constant("turn" as const) },
    {
      weight: 3,
      arbitrary: fc.constantFrom(
        "failing turn" as const,
        "abandoned turn" as const,
        "retry by key" as const,
        "retry by count" as const,
        "delete" as const,
      ),
    },
  ),
});

interface Turn {
  readonly text: string;
  readonly reply: string;
}

/** What a client of one conversation knows. */
interface Client {
  turns: Turn[];
  /** The last request that was sent, and whether it was answered. */
  last:
    | { readonly body: string; readonly idempotencyKey: string; readonly text: string; finished: boolean }
    | undefined;
}

const textOf = (body: string, stream: boolean): string =>
  stream
    ? sseData(body)
        .map(
          (event) =>
            (event as { choices?: { delta: { content?: string } }[] }).choices?.[0]?.delta.content ?? "",
        )
        .join("")
    : JSON.parse(body).choices[0].message.content;

test("a conversation is remembered as it was, whatever became of its requests", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { maxLength: 25 }), async (steps) => {
      let calls = 0;
      const provider = scriptedProvider({
        async *answer({ messages }, { signal }) {
          const text = messages.at(-1)?.text ?? "";
          const answered = `reply ${++calls} to ${text}`;
          if (text.startsWith("failing")) throw new ApiError("upstream_error", "It failed.");
          if (text.startsWith("abandoned")) {
            yield { type: "text-delta", delta: "half" };
            await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
          }
          yield* reply(answered.slice(0, 5), answered.slice(5));
        },
      });
      const { send } = testHandler(
        { API_KEYS: JSON.stringify({ a: "sk-a", b: "sk-b" }) },
        { providers: [provider] },
      );
      const clients = new Map<string, Client>();

      for (const [index, { key, session, stream, action }] of steps.entries()) {
        const name = `${key} ${session}`;
        const client: Client = clients.get(name) ?? { turns: [], last: undefined };
        clients.set(name, client);
        const { headers: sessionHeaders, fields } = sessions[session] as (typeof sessions)[number];
        const headers: Record<string, string> = { authorization: `Bearer ${key}`, ...sessionHeaders };
        const named = "user" in fields ? { ...headers, "x-session-user": fields.user } : headers;

        if (action === "delete") {
          expect((await send("/v1/session", { method: "DELETE", headers: named })).status).toBe(204);
          client.turns = [];
          client.last = undefined;
          continue;
        }
        const isRetry = action.startsWith("retry") && client.last !== undefined;
        const text = `${action} ${index}`;
        const request = isRetry
          ? client.last
          : {
              body: JSON.stringify({
                model: "test-model",
                stream,
                ...fields,
                messages: [{ role: "user", content: text }],
              }),
              idempotencyKey: `key-${index}`,
              text,
              finished: false,
            };
        if (request === undefined) throw new Error("no request");
        if (action === "retry by count" && isRetry) headers["x-stainless-retry-count"] = "1";
        else headers["idempotency-key"] = request.idempotencyKey;

        const before = provider.requests.length;
        const leaving = new AbortController();
        const { signal } = leaving;
        const wasStream = JSON.parse(request.body).stream === true;
        const answer = Promise.resolve(
          send("/v1/chat/completions", { method: "POST", headers, body: request.body, signal }),
        ).then(async (response) => ({ status: response.status, body: await response.text() }));
        answer.catch(() => {});
        client.last = request;

        if (request.text.startsWith("abandoned")) {
          await until(async () => provider.requests.length > before);
          await Bun.sleep(0);
          leaving.abort();
          await answer.catch(() => {});
        } else if (request.text.startsWith("failing")) {
          expect((await answer).status).toBe(502);
        } else {
          const { status, body } = await answer;
          expect(status).toBe(200);
          const shown = textOf(body, wasStream);
          if (request.finished) {
            // A retry of what was finished is answered from memory, and nobody is asked again.
            expect(provider.requests.length).toBe(before);
            expect(shown).toBe(client.turns.at(-1)?.reply ?? "");
            continue;
          }
          expect(shown).toBe(`reply ${calls} to ${request.text}`);
          const told = provider.requests.at(-1)?.request.messages.map(({ role, text }) => `${role}: ${text}`);
          expect(told).toEqual([
            ...client.turns.flatMap((turn) => [`user: ${turn.text}`, `assistant: ${turn.reply}`]),
            `user: ${request.text}`,
          ]);
          client.turns.push({ text: request.text, reply: shown });
          request.finished = true;
        }
      }

      for (const [name, { turns }] of clients) {
        const [key = "", session = "0"] = name.split(" ");
        const { headers, fields } = sessions[Number(session)] as (typeof sessions)[number];
        const user = "user" in fields ? { "x-session-user": fields.user } : {};
        const shown = await send("/v1/session", {
          headers: { authorization: `Bearer ${key}`, ...headers, ...user },
        });
        const { messages } = await shown.json();
        expect(messages.map(({ content }: { content: string }) => content)).toEqual(
          turns.flatMap((turn) => [turn.text, turn.reply]),
        );
      }
    }),
    { numRuns: 150 },
  );
}, 60_000);
