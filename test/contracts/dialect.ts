/**
 * What every dialect must do with every kind of provider: with one whose answers are parts, as the site's are, and with
 * an upstream of Chat Completions, whose events come as they were too.
 */
import { describe, expect, test } from "bun:test";
import { ApiError } from "../../core/errors.ts";
import { openAiCompatible } from "../../core/providers/openai-compatible/provider.ts";
import type { Provider, StreamPart } from "../../core/types.ts";
import { fakeClock, settle } from "../fakes/fake-clock.ts";
import { chunk, doneEvent, eventStream, type Json } from "../fakes/openai-upstream.ts";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { testHandler } from "../support/test-handler.ts";

/** What a client asks for, in no dialect's words. */
export interface Ask {
  readonly text: string;
  readonly stream: boolean;
  /** Functions on offer, each without arguments. */
  readonly tools?: readonly string[];
  /** A PNG in base64. */
  readonly image?: string;
}

/** What an answer says, in no dialect's words. */
export interface Said {
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly { readonly name: string; readonly input: unknown }[];
  readonly ended: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

type Feature = "tools" | "images" | "reasoning";

export interface DialectUnderTest {
  readonly path: string;
  /** What the format can't say. */
  readonly lacks?: readonly Feature[];
  request(ask: Ask): object;
  read(body: Json): Said;
  /** Reads a stream that went well; fails where its events are not in order. */
  readStream(text: string): Said;
  /** The message of a failure's body; fails where it has not the format's shape. */
  readError(body: Json): string;
  /** The same, at the end of a stream. */
  readStreamError(text: string): string;
  /** The format's words for the ends of an answer. */
  readonly ends: {
    readonly stop: string;
    readonly length: string;
    readonly calls: string;
    readonly refusal: string;
  };
  /** What is sent in a silence. */
  readonly keepAlive: string;
}

/** What a provider does: it says these parts, and then fails or falls silent, or ends. */
interface Script {
  readonly parts?: readonly StreamPart[];
  readonly afterwards?: "end" | "fail" | "hang";
  /** Fails before it has said anything. */
  readonly refuses?: boolean;
}

const words = "Out of ink";

interface ProviderKind {
  readonly provider: Provider;
  /** The newest request's body in Chat Completions' shape. */
  asked(): Json;
  /** Whether it has been let go of. */
  isReleased(): boolean;
}

const partsKind = ({ parts = [], afterwards = "end", refuses = false }: Script): ProviderKind => {
  const provider = scriptedProvider({
    async *answer(_, { signal }) {
      if (refuses) throw new ApiError("upstream_unavailable", words);
      yield* parts;
      if (afterwards === "fail") throw new ApiError("upstream_error", words);
      if (afterwards === "hang") {
        await new Promise((_resolve, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
        );
      }
    },
  });
  return {
    provider,
    asked: () => ({
      ...provider.requests.at(-1)?.request.native,
      messages: provider.requests.at(-1)?.request.messages.map(({ native }) => native),
    }),
    isReleased: () => provider.released === 1,
  };
};

const usageOf = (part: StreamPart) =>
  part.type === "usage" && {
    usage: {
      prompt_tokens: part.usage.promptTokens,
      completion_tokens: part.usage.completionTokens,
      total_tokens: part.usage.totalTokens,
    },
  };

/** A part as an event of Chat Completions. */
const eventOf = (part: StreamPart): string => {
  switch (part.type) {
    case "text-delta":
      return chunk({ content: part.delta });
    case "reasoning-delta":
      return chunk({ reasoning_content: part.delta });
    case "refusal-delta":
      return chunk({ refusal: part.delta });
    case "tool-call-delta": {
      const { index, id, name, delta } = part;
      const first = id === undefined ? {} : { id, type: "function" };
      return chunk({
        tool_calls: [{ index, ...first, function: { ...(name && { name }), arguments: delta } }],
      });
    }
    case "finish":
      return chunk({}, part.reason);
    case "usage":
      return chunk(null, null, usageOf(part) || {});
  }
};

const chatKind = ({ parts = [], afterwards = "end", refuses = false }: Script): ProviderKind => {
  let body: Json;
  let isReleased = false;
  const provider = openAiCompatible({
    name: "chat",
    baseUrl: "http://upstream.test/v1",
    models: ["test-model"],
    fetch: async (_, init) => {
      body = JSON.parse(init.body as string);
      if (refuses) return Response.json({ error: { message: words } }, { status: 503 });
      const texts = parts.map(eventOf);
      if (afterwards === "fail") texts.push(`data: {"error":{"message":"${words}"}}\n\n`);
      if (afterwards === "end") texts.push(doneEvent);
      const stream = new ReadableStream({
        pull(controller) {
          const text = texts.shift();
          if (text !== undefined) controller.enqueue(new TextEncoder().encode(text));
          else if (afterwards !== "hang") controller.close();
          return text === undefined && afterwards === "hang" ? new Promise<void>(() => {}) : undefined;
        },
        cancel() {
          isReleased = true;
        },
      });
      return new Response(stream, { headers: eventStream });
    },
  });
  return { provider, asked: () => body, isReleased: () => isReleased };
};

const text = (delta: string): StreamPart => ({ type: "text-delta", delta });
const thought = (delta: string): StreamPart => ({ type: "reasoning-delta", delta });
const finish = (reason: "stop" | "length" | "tool_calls" | "content_filter"): StreamPart => ({
  type: "finish",
  reason,
});
const usage: StreamPart = {
  type: "usage",
  usage: { promptTokens: 11, completionTokens: 22, totalTokens: 33 },
};
const call = (index: number, delta: string, name?: string): StreamPart => ({
  type: "tool-call-delta",
  index,
  delta,
  ...(name !== undefined && { id: `functions.${name}:${index}`, name }),
});

const png = "iVBORw0KGgo=";

/** Registers the suite. */
export function dialectContract(name: string, subject: DialectUnderTest): void {
  const { path, request, ends, lacks = [] } = subject;
  const kinds = { "parts alone": partsKind, "an upstream of Chat Completions": chatKind };

  describe.each(Object.entries(kinds))(`dialect contract: ${name}, over %s`, (_, kindOf) => {
    const setUp = (script: Script) => {
      const kind = kindOf(script);
      const clock = fakeClock();
      const handler = testHandler({ CIRCUIT_BREAKER: "off" }, { providers: [kind.provider], clock });
      const post = (body: unknown, init: RequestInit = {}) =>
        handler.send(path, {
          method: "POST",
          body: typeof body === "string" ? body : JSON.stringify(body),
          ...init,
        });
      return { ...handler, kind, clock, post };
    };

    /** The answer, whole and streamed, to a script. */
    const answers = async (script: Script, ask: Partial<Ask> = {}): Promise<Said[]> => {
      const said: Said[] = [];
      for (const stream of [false, true]) {
        const { post } = setUp(script);
        const response = await post(request({ text: "Hi", ...ask, stream }));
        expect(response.status).toBe(200);
        said.push(stream ? subject.readStream(await response.text()) : subject.read(await response.json()));
      }
      return said;
    };

    const has = (feature: Feature) => test.skipIf(lacks.includes(feature));

    test("says a text and its token counts, whole and streamed", async () => {
      for (const said of await answers({
        parts: [text("Hello"), text(" there\n😀"), finish("stop"), usage],
      })) {
        expect(said).toEqual({
          text: "Hello there\n😀",
          reasoning: "",
          calls: [],
          ended: ends.stop,
          promptTokens: 11,
          completionTokens: 22,
        });
      }
    });

    test("escapes Unicode's line separators in a stream, at which some clients end a line", async () => {
      const { post } = setUp({ parts: [text("a\u2028b"), text("\u2029c"), finish("stop")] });
      const stream = await (await post(request({ text: "Hi", stream: true }))).text();
      expect(stream).not.toMatch(/[\u2028\u2029]/);
      expect(subject.readStream(stream).text).toBe("a\u2028b\u2029c");
    });

    test("estimates token counts where the provider gives none", async () => {
      for (const said of await answers({ parts: [text("Hello there"), finish("stop")] })) {
        expect(said.promptTokens).toBeGreaterThan(0);
        expect(said.completionTokens).toBeGreaterThan(0);
      }
    });

    test("says that a reply is empty", async () => {
      for (const said of await answers({ parts: [finish("stop")] })) {
        expect(said).toMatchObject({ text: "", calls: [], ended: ends.stop });
      }
    });

    test("says that a reply was cut, or refused", async () => {
      for (const said of await answers({ parts: [text("Hel"), finish("length")] })) {
        expect(said).toMatchObject({ text: "Hel", ended: ends.length });
      }
      for (const said of await answers({ parts: [text("No."), finish("content_filter")] })) {
        expect(said).toMatchObject({ text: "No.", ended: ends.refusal });
      }
    });

    has("reasoning")("shows what the model thought, however late", async () => {
      const parts = [thought("Hm"), thought("m."), text("A"), thought("Wait."), text("B"), finish("stop")];
      for (const said of await answers({ parts })) {
        expect(said).toMatchObject({ text: "AB", reasoning: "Hmm.Wait." });
      }
    });

    has("tools")("makes a call, whatever reason the upstream gives for its end", async () => {
      for (const reason of ["tool_calls", "stop"] as const) {
        const parts = [text("Look."), call(0, "", "f"), call(0, '{"a":'), call(0, "1}"), finish(reason)];
        for (const said of await answers({ parts }, { tools: ["f"] })) {
          expect(said).toMatchObject({ text: "Look.", calls: [{ name: "f", input: { a: 1 } }] });
          if (name !== "Chat Completions") expect(said.ended).toBe(ends.calls);
        }
      }
    });

    has("tools")("makes parallel calls, also those that come mixed", async () => {
      const parts = [
        call(0, '{"a"', "f"),
        call(1, "", "g"),
        call(1, '{"b":2}'),
        call(0, ":1}"),
        finish("tool_calls"),
      ];
      for (const said of await answers({ parts }, { tools: ["f", "g"] })) {
        expect(said.calls).toEqual([
          { name: "f", input: { a: 1 } },
          { name: "g", input: { b: 2 } },
        ]);
      }
    });

    has("tools")("asks with its tools as functions", async () => {
      const { post, kind } = setUp({ parts: [text("ok"), finish("stop")] });
      await (await post(request({ text: "Hi", stream: true, tools: ["f"] }))).text();
      expect(kind.asked().tools).toMatchObject([
        { type: "function", function: { name: "f", parameters: { type: "object" } } },
      ]);
    });

    has("images")("sends an image on as an upstream takes it", async () => {
      const { post, kind } = setUp({ parts: [text("ok"), finish("stop")] });
      await (await post(request({ text: "What is it?", stream: false, image: png }))).text();
      expect(kind.asked().messages.at(-1)).toEqual({
        role: "user",
        content: [
          { type: "text", text: "What is it?" },
          { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } },
        ],
      });
    });

    test("asks with the text as a user's message", async () => {
      const { post, kind } = setUp({ parts: [text("ok"), finish("stop")] });
      await (await post(request({ text: "Hello", stream: false }))).text();
      expect(kind.asked().messages).toEqual([{ role: "user", content: "Hello" }]);
    });

    test("fails before the answer with the error's status and words, streamed or not", async () => {
      for (const stream of [false, true]) {
        const { post } = setUp({ refuses: true });
        const response = await post(request({ text: "Hi", stream }));
        expect(response.status).toBe(503);
        expect(response.headers.get("content-type")).toStartWith("application/json");
        expect(subject.readError(await response.json())).toContain(words);
      }
    });

    test("fails in the middle of a stream with the error's words", async () => {
      const { post } = setUp({ parts: [text("Hel")], afterwards: "fail" });
      const response = await post(request({ text: "Hi", stream: true }));
      expect(response.status).toBe(200);
      const streamed = await response.text();
      expect(streamed).toContain("Hel");
      expect(subject.readStreamError(streamed)).toContain(words);
    });

    test("says in a silence that it lives", async () => {
      const { post, clock } = setUp({ parts: [text("Hel")], afterwards: "hang" });
      const response = await post(request({ text: "Hi", stream: true }));
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      let read = "";
      const decoder = new TextDecoder();
      while (!read.includes("Hel")) read += decoder.decode((await reader.read()).value);
      const next = reader.read();
      await clock.advance(60_000);
      expect(decoder.decode((await next).value)).toContain(subject.keepAlive);
      await reader.cancel();
    });

    test("frees the call of a client that leaves", async () => {
      const { post, kind, records, clock } = setUp({ parts: [text("Hel")], afterwards: "hang" });
      const response = await post(request({ text: "Hi", stream: true }));
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      await reader.read();
      await reader.cancel();
      await settle();
      expect(kind.isReleased()).toBe(true);
      expect(records).toMatchObject([{ code: "client_closed_request" }]);
      expect(clock.pending).toBe(0);
    });

    test("ignores fields that it does not know, and null", async () => {
      const { post } = setUp({ parts: [text("ok"), finish("stop")] });
      const body = {
        ...request({ text: "Hi", stream: false }),
        brand_new: { deep: [1] },
        temperature: null,
        tools: null,
      };
      expect((await post(body)).status).toBe(200);
    });

    test("takes the default model where none is named", async () => {
      const { post } = setUp({ parts: [text("ok"), finish("stop")] });
      const { model: _, ...body } = request({ text: "Hi", stream: false }) as Json;
      expect((await post(body)).status).toBe(200);
    });

    test("names the fault of a hostile body, without what was sent", async () => {
      const good = request({ text: "Hi", stream: false }) as Json;
      const secret = "secret words";
      const bodies: unknown[] = ["", "{", "[]", "null", "7", '"text"', "[".repeat(200), { model: 1 }];
      for (const field of ["messages", "prompt", "input", "model", "stream"].filter((each) => each in good)) {
        for (const value of [7, { deep: secret }, [secret], [[secret]], [null], [{ role: secret }]]) {
          bodies.push({ ...good, [field]: value });
        }
      }
      for (const body of bodies) {
        const { post } = setUp({ parts: [text("ok"), finish("stop")] });
        const response = await post(body);
        const answer = await response.json();
        // A list of one text is a prompt of Completions.
        if (response.status === 200) continue;
        expect([400, 404]).toContain(response.status);
        expect(subject.readError(answer)).not.toBe("");
        expect(JSON.stringify(answer)).not.toContain(secret);
      }
    });

    test("has failures in its shape for other methods of its route, and for a model that is not there", async () => {
      const { send, post } = setUp({});
      const wrong = await send(path, { method: "DELETE" });
      expect(wrong.status).toBe(405);
      expect(subject.readError(await wrong.json())).toContain("POST");
      const unknown = await post({ ...request({ text: "Hi", stream: false }), model: "nowhere/nothing" });
      expect(unknown.status).toBe(404);
      expect(subject.readError(await unknown.json())).toContain("does not exist");
    });
  });
}
