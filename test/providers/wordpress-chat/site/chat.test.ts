import { describe, expect, test } from "bun:test";
import { ApiError, type ErrorCode } from "../../../../core/errors.ts";
import { fakeClock, settle } from "../../../fakes/fake-clock.ts";
import { replyTexts } from "../../../fakes/faults.ts";
import { eventsOf } from "../../../support/chat-request.ts";
import { type Asking, chatWithSite, message } from "./site-chat.ts";

const { site, chat, seen, expectTraffic } = await chatWithSite();

describe("a chat with the site", () => {
  test("takes one page fetch and then one call for each message", async () => {
    const { ask } = chat();
    const first = await ask("Hello");
    expect(first.text).toStartWith("You said: Hello\n[chars=5 lines=1 turns=0 ");
    expect(first.text).toEndWith("model=Kimi-K2-Instruct-0905]");
    expect(first.reasons).toEqual(["stop"]);
    expect(first).toMatchObject({ calls: 1, droppedMessages: 0 });
    await ask("Hello again");
    await expectTraffic({ messages: 2, fetches: 1 });
  });

  test("is held like a browser's", async () => {
    await chat().ask("Hello");
    const { pages, ajax } = await seen();
    expect(pages[0]?.headers).toMatchObject({
      "user-agent": expect.stringMatching(/^Mozilla\/5\.0 /),
      accept: expect.stringContaining("text/html"),
      "accept-language": expect.any(String),
    });
    expect(ajax[0]).toMatchObject({
      method: "POST",
      action: "kimi_send_message",
      model: "moonshotai/Kimi-K2-Instruct-0905",
      headers: {
        "user-agent": pages[0]?.headers["user-agent"] ?? "",
        "content-type": expect.stringMatching(/^application\/x-www-form-urlencoded/),
        "x-requested-with": "XMLHttpRequest",
        origin: site.url,
        referer: site.pageUrl,
      },
    });
  });

  test("names the model as the site does", async () => {
    const { text } = await chat().ask("Hello", { model: "kimi-k2-instruct" });
    expect(text).toEndWith("model=Kimi-K2-Instruct]");
  });

  test("has the conversation's id as the site's session", async () => {
    const { ask } = chat();
    const startedAtMs = 1_700_000_000_123;
    await ask("Hello", { conversation: { id: "abc123xyz", startedAtMs } });
    expect((await seen()).ajax[0]?.session_id).toBe("session_1700000000123_abc123xyz");
  });

  test("sends the operator's own headers to page and calls", async () => {
    await chat({
      headers: { "user-agent": "Tester/1", cookie: "cf_clearance=abc; wordpress_logged_in_x=1" },
    }).ask("Hello");
    const { pages, ajax } = await seen();
    for (const row of [pages[0], ajax[0]]) expect(row?.headers["user-agent"]).toBe("Tester/1");
    expect(pages[0]?.headers.cookie).toBe("cf_clearance=abc; wordpress_no_cache=1");
    expect(ajax[0]?.headers.cookie).toBe("cf_clearance=abc");
  });

  test.each(["cjk", "emoji", "newlines", "markdown", "long"] as const)(
    "brings the reply %s exactly, in chunks that split no character",
    async (mode) => {
      await site.set({ ajax: mode });
      const { text, deltas } = await chat({ chunkChars: 3 }).ask("Hello");
      expect(text).toBe(replyTexts[mode]);
      expect(deltas.length).toBeGreaterThan(1);
      const graphemes = (part: string) => [...new Intl.Segmenter("en").segment(part)].length;
      const sum = deltas.reduce((count, delta) => count + graphemes(delta), 0);
      expect(sum).toBe(graphemes(text));
    },
  );

  test("passes entities, quotes and tags of a reply on as they came", async () => {
    const reply = `&lt;b&gt; &amp;amp; "x" 'y' <i> \\n {"a":1} </script> \u200b\u2028`;
    await site.set({ ajax: `text=${reply}` });
    expect((await chat().ask("Hello")).text).toBe(reply);
  });

  test("has the page read ahead of time when it is warmed up", async () => {
    const { warmUp, ask } = chat();
    await warmUp();
    await expectTraffic({ messages: 0, fetches: 1 });
    await ask("Hello");
    await expectTraffic({ messages: 1, fetches: 1 });
  });

  test("warms up without a word while the site is down, and recovers", async () => {
    await site.maintenance(true);
    const { warmUp, ask } = chat();
    await warmUp();
    await site.maintenance(false);
    expect((await ask("Hello")).text).toStartWith("You said: Hello");
  });

  test("waits chunkDelayMs between chunks, and no longer once the client has left", async () => {
    const clock = fakeClock();
    const leaving = new AbortController();
    const { answer } = chat({ clock, chunkChars: 8, chunkDelayMs: 20 });
    const events = eventsOf(answer("Hello", { signal: leaving.signal }));
    expect((await events.next()).value).toMatchObject([{ parts: [{ type: "text-delta" }] }]);

    const second = events.next();
    await settle();
    expect(clock.pending).toBe(1);
    await clock.advance(20);
    expect((await second).value).toMatchObject([{ parts: [{ type: "text-delta" }] }]);

    const third = events.next();
    await settle();
    const reason = new ApiError("client_closed_request", "gone");
    leaving.abort(reason);
    await expect(third).rejects.toBe(reason);
    expect(clock.pending).toBe(0);
  });

  test("comes in one piece when it is not streamed", async () => {
    await site.set({ ajax: "emoji" });
    const { deltas } = await chat({ chunkChars: 3 }).ask("Hello", { stream: false });
    expect(deltas).toEqual([replyTexts.emoji]);
  });

  test("is stopped where the request says", async () => {
    expect(await chat().ask("one two", { stop: [" two"] })).toMatchObject({
      text: "You said: one",
      reasons: ["stop"],
    });
  });

  test("leaves no listener on the signal of its client", async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...from: Parameters<typeof add>) => {
      listeners++;
      add(...from);
    };
    signal.removeEventListener = (...from: Parameters<typeof remove>) => {
      listeners--;
      remove(...from);
    };
    await chat().ask("Hello", { signal });
    expect(listeners).toBe(0);
  });

  test("offers the models with the site's names as aliases, and no others", async () => {
    const { models, failure } = chat();
    expect((await models()).map(({ id, aliases }) => [id, aliases])).toEqual([
      ["kimi-k2-instruct-0905", ["kimi", "moonshotai/Kimi-K2-Instruct-0905"]],
      ["kimi-k2-instruct", ["moonshotai/Kimi-K2-Instruct"]],
    ]);
    expect((await failure("Hello", { model: "gpt" })).code).toBe("model_not_found");
    await expectTraffic({ messages: 0, fetches: 0 });
  });
});

describe("a client who leaves a chat with the site", () => {
  test("ends the call in the middle, and the message is not sent again", async () => {
    const { ask } = chat();
    await ask("Hello");
    await site.set({ ajax: "slow=0.4" });
    const leaving = new AbortController();
    const left = ask("Slowly", { signal: leaving.signal }).catch((reason: unknown) => reason);
    while ((await seen()).messages < 2) await Bun.sleep(5);
    const reason = new ApiError("upstream_timeout", "too slow");
    leaving.abort(reason);
    expect(await left).toBe(reason);
    while ((await seen()).ajax[1]?.outcome === null) await Bun.sleep(20);
    await expectTraffic({ messages: 2, fetches: 1 });
    if (!site.isWordpress) expect((await site.status()).counts.aborted).toBe(1);
  });

  test("before anything was sent causes no call at all", async () => {
    const reason = new Error("gone");
    const left = chat().ask("Hello", { signal: AbortSignal.abort(reason) });
    await expect(left).rejects.toBe(reason);
    expect((await seen()).messages).toBe(0);
  });
});

describe("of what the site can't do,", () => {
  test.each<[string, Asking, code: ErrorCode, param: string]>([
    ["several replies", { choices: 2 }, "unsupported_parameter", "n"],
  ])("%s is refused before anything is sent", async (_, asking, code, param) => {
    expect(await chat().failure("Hello", asking)).toMatchObject({ code, status: 400, param });
    await expectTraffic({ messages: 0, fetches: 0 });
  });

  test.each<[string, Asking, param: string]>([
    ["a tool that must be called", { toolChoice: "required" }, "tool_choice"],
    ["a named tool", { toolChoice: { tool: "look" } }, "tool_choice"],
    ["JSON on demand", { responseFormat: "json_object" }, "response_format"],
    ["a JSON schema", { responseFormat: { schema: true } }, "response_format"],
  ])("%s is refused as well where nothing is told in the prompt", async (_, asking, param) => {
    expect(await chat({ toolsByPrompt: false }).failure("Hello", asking)).toMatchObject({
      code: "unsupported_parameter",
      status: 400,
      param,
    });
    await expectTraffic({ messages: 0, fetches: 0 });
  });

  test("parts of the newest message that are no text are refused by name, each once", async () => {
    const error = await chat().failure([
      message("user", "Look"),
      {
        ...message("user", "What is this?"),
        attachments: ["image_url", "input_audio", "image_url"].map((type) => ({ type })),
      },
    ]);
    expect(error).toMatchObject({ code: "unsupported_content", status: 400, param: "messages" });
    expect(error.message).toStartWith("The chat site takes text only: no images, audio.");
  });

  test.each([
    ["image_url", "no images"],
    ["input_audio", "no audio"],
    ["file", "no files"],
  ])("a part of the type %s is refused by its plain name", async (type, words) => {
    const error = await chat().failure([{ ...message("user", "What is this?"), attachments: [{ type }] }]);
    expect(error).toMatchObject({ code: "unsupported_content", status: 400 });
    expect(error.message).toContain(words);
    await expectTraffic({ messages: 0, fetches: 0 });
  });

  test("a picture of an older message is told as a mark, and the chat goes on", async () => {
    const picture = { ...message("user", "Look"), attachments: [{ type: "image_url" }] };
    await chat().ask([picture, message("assistant", "I can't."), message("user", "Then read this.")]);
    expect((await seen()).ajax[0]?.seen).toBe(
      "User: Look [image]\nAssistant: I can't.\nUser: Then read this.",
    );
  });

  test("tools that are merely offered, or plain text that is asked for, do no harm", async () => {
    await chat().ask("Hello", {
      toolChoice: "auto",
      responseFormat: "text",
      native: { tools: [{ type: "function" }] },
    });
    await expectTraffic({ messages: 1, fetches: 1 });
  });
});
