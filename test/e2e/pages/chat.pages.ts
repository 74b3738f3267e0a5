/** The chat and the instructions, driven in a real browser. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { errorTable } from "../../../core/errors.ts";
import { chunk, cut, doneEvent, eventStream, forever } from "../../fakes/openai-upstream.ts";
import {
  answered,
  closeBrowser,
  type Gateway,
  missing,
  open,
  richReply,
  type Seen,
  say,
  startGateway,
} from "./stage.ts";

const key = "sk-page-key";
const there = describe.skipIf(missing !== undefined);

let gateway: Gateway;
let keyed: Gateway;
let seen: Seen | undefined;

beforeAll(async () => {
  if (missing) return;
  gateway = await startGateway({ reply: richReply });
  keyed = await startGateway({ env: { API_MASTER_KEY: key } });
});

afterAll(async () => {
  await closeBrowser();
  await gateway?.stop();
  await keyed?.stop();
});

/** Opens the page; at the end of the test it must have been well-behaved. */
const visit = async (url: string, options: Parameters<typeof open>[1] = {}) => {
  seen = await open(url, options);
  return seen.page;
};

const chooseModel = async (page: Seen["page"], model: string) => {
  await page.locator(`#model option[value="${model}"]`).waitFor({ state: "attached" });
  await page.locator("#model").selectOption(model);
};

/** What a browser says by itself of an answer with a status of 400 and more. */
const statusOnly = /^Failed to load resource: the server responded with a status of/;

afterEach(async () => {
  const { troubles = [], foreign = [] } = seen ?? {};
  await seen?.close();
  seen = undefined;
  expect(troubles.filter((text) => !statusOnly.test(text))).toEqual([]);
  expect(foreign).toEqual([]);
});

there(`the chat page${missing ? ` (skipped: ${missing})` : ""}`, () => {
  test("lists models by upstream and asks for no key where none is needed", async () => {
    const page = await visit(gateway.url);
    await page.locator("#model option").first().waitFor({ state: "attached" });
    expect(
      await page
        .locator("#model optgroup")
        .evaluateAll((all) => all.map((each) => each.getAttribute("label"))),
    ).toEqual(["kimi-web", "openai"]);
    expect(await page.locator("#key").isVisible()).toBe(false);
  });

  test("streams an answer as Markdown, with no dangerous link and no picture from elsewhere", async () => {
    const page = await visit(gateway.url);
    await page.locator("#model option").first().waitFor({ state: "attached" });
    await say(page, "Why?");
    const answer = page.locator(".answer");
    await answer.locator("th").first().waitFor();
    expect(await answer.getAttribute("aria-busy")).toBe("true");
    await answered(page);
    expect(await answer.locator("td").count()).toBe(6);
    expect(await answer.locator("pre .t-keyword").first().textContent()).toBe("def");
    const links = await answer
      .locator(".text a")
      .evaluateAll((all) => all.map((each) => each.getAttribute("href")));
    expect(links).toEqual([
      "https://en.wikipedia.org/wiki/Rayleigh_scattering",
      null,
      "https://images.example/x.png",
    ]);
    expect(await answer.locator("img").count()).toBe(0);
    expect(await answer.locator(".foot .facts").textContent()).toMatch(
      /by kimi-web\/.* · first words .* s · total .* s · \d+ tokens/,
    );
    expect(await page.getByRole("status").textContent()).toBe("The answer is complete.");
  });

  test("leads to addresses that have brackets themselves", async () => {
    const page = await visit(gateway.url);
    await chooseModel(page, "echo");
    await say(
      page,
      "[Foo](https://en.wikipedia.org/wiki/Foo_(bar)) and [f(x)](https://x.example) and (so on)",
    );
    const text = (await answered(page)).locator(".text");
    expect(
      await text.locator("a").evaluateAll((all) => all.map((each) => each.getAttribute("href"))),
    ).toEqual(["https://en.wikipedia.org/wiki/Foo_%28bar%29", "https://x.example"]);
    expect(await text.textContent()).toBe("Echo: Foo and f(x) and (so on)");
  });

  test("copies an answer and a piece of code", async () => {
    const page = await visit(gateway.url);
    await page.locator("#model option").first().waitFor({ state: "attached" });
    await say(page, "Why?");
    const answer = await answered(page);
    const copied = () => page.evaluate(() => navigator.clipboard.readText());
    await answer.getByRole("button", { name: "Copy this answer" }).click();
    expect(await copied()).toBe(richReply);
    await answer.getByRole("button", { name: "Copy this code" }).click();
    expect(await copied()).toStartWith("def scattered(");
  });

  test.each(["Stop", "Escape"])("ends a stream by %s and keeps what came", async (how) => {
    const page = await visit(gateway.url);
    await chooseModel(page, "echo");
    gateway.upstream.script({
      headers: eventStream,
      steps: [chunk({ role: "assistant", content: "Once upon" }), forever],
    });
    await say(page, "Tell a tale");
    await page.locator(".answer .text", { hasText: "Once" }).waitFor();
    if (how === "Stop") await page.getByRole("button", { name: "Stop" }).click();
    else await page.keyboard.press("Escape");
    const answer = await answered(page);
    expect(await answer.textContent()).toMatch(/Once upon.*Stopped\./s);
    expect(await page.getByRole("button", { name: "Send", exact: true }).isVisible()).toBe(true);
  });

  test("sends an edited message again, in place of all that followed it", async () => {
    const page = await visit(gateway.url);
    await chooseModel(page, "echo");
    await say(page, "first");
    await answered(page);
    await say(page, "second");
    await answered(page, 1);
    await page.getByRole("button", { name: "Edit" }).first().click();
    await page.getByLabel("Edit the message").fill("changed");
    await page.getByRole("button", { name: "Send again" }).click();
    await page.locator(".answer", { hasText: "Echo: changed" }).waitFor();
    await answered(page);
    expect(await page.locator(".turn").count()).toBe(1);
    expect(gateway.upstream.calls.at(-1)?.body.messages).toEqual([{ role: "user", content: "changed" }]);
    await page.getByRole("button", { name: "Regenerate" }).click();
    await answered(page);
    expect(gateway.upstream.calls.at(-1)?.body.messages).toEqual([{ role: "user", content: "changed" }]);
  });

  test("sends the system prompt and the whole history where memory is off", async () => {
    const page = await visit(gateway.url);
    await chooseModel(page, "echo");
    await page.locator("#system").fill("Be brief.");
    await say(page, "one");
    await answered(page);
    await say(page, "two");
    await answered(page, 1);
    const { body, headers } = gateway.upstream.calls.at(-1) ?? {};
    expect(body.messages.map(({ content }: { content: string }) => content)).toEqual([
      "Be brief.",
      "one",
      "Echo: one",
      "two",
    ]);
    expect(headers?.["x-session-id"]).toBeUndefined();
  });

  test("sends only the newest message where memory is on, and has it forgotten", async () => {
    const page = await visit(gateway.url);
    await chooseModel(page, "echo");
    await page.locator("#memory").check();
    const sent = () =>
      page
        .waitForRequest((request) => request.url().endsWith("/chat/completions"))
        .then((request) => ({
          messages: (JSON.parse(request.postData() ?? "").messages as { content: string }[]).map(
            ({ content }) => content,
          ),
          session: request.headers()["x-session-id"],
        }));
    let request = sent();
    await say(page, "one");
    const first = await request;
    const answer = await answered(page);
    expect(await answer.locator(".foot .facts").textContent()).toContain("Remembered by the server");
    request = sent();
    await say(page, "two");
    expect(await request).toEqual({ messages: ["two"], session: first.session });
    await answered(page, 1);
    expect(
      gateway.upstream.calls.at(-1)?.body.messages.map(({ content }: { content: string }) => content),
    ).toEqual(["one", "Echo: one", "two"]);
    await page.getByRole("button", { name: "Forget" }).click();
    await page.locator(".divider").waitFor();
    request = sent();
    await say(page, "three");
    const third = await request;
    expect(third.messages).toEqual(["three"]);
    expect(third.session).not.toBe(first.session);
    await answered(page, 2);
    expect(
      gateway.upstream.calls.at(-1)?.body.messages.map(({ content }: { content: string }) => content),
    ).toEqual(["three"]);
  });

  test("folds reasoning away", async () => {
    const page = await visit(gateway.url);
    await chooseModel(page, "reasoner");
    await say(page, "Think");
    const answer = await answered(page);
    const thoughts = answer.locator("details", { hasText: "Reasoning" });
    expect(await thoughts.getAttribute("open")).toBeNull();
    expect(await thoughts.textContent()).toContain("First I think about it.");
  });

  test("folds calls of tools away, each with its arguments", async () => {
    const page = await visit(gateway.url);
    await chooseModel(page, "echo");
    const call = { index: 0, id: "call_1", type: "function" };
    gateway.upstream.script({
      headers: eventStream,
      steps: [
        chunk({
          role: "assistant",
          tool_calls: [{ ...call, function: { name: "weather", arguments: '{"city":' } }],
        }),
        chunk({ tool_calls: [{ index: 0, function: { arguments: '"Bern"}' } }] }),
        chunk({}, "tool_calls"),
        doneEvent,
      ],
    });
    await say(page, "What is the weather?");
    const calls = (await answered(page)).locator("details", { hasText: "Calls the tool weather" });
    expect(await calls.getAttribute("open")).toBeNull();
    expect(await calls.textContent()).toContain('{"city":"Bern"}');
  });

  test("says so when the upstream is down, with code, request id and what to do, and tries again", async () => {
    await gateway.site.set({ ajax: "http=503" });
    const page = await visit(gateway.url);
    await page.locator("#model option").first().waitFor({ state: "attached" });
    await say(page, "Anyone?");
    const answer = await answered(page);
    await gateway.site.reset();
    const failure = await answer.locator(".failure").textContent();
    expect(failure).toContain("upstream_unavailable");
    expect(failure).toMatch(/Request id [\w-]{8,}/);
    expect(failure).toContain("Try again later");
    await answer.getByRole("button", { name: "Try again" }).waitFor();
  });

  test("shows what came of an answer that broke off", async () => {
    const seenFirst = Promise.withResolvers<void>();
    const page = await visit(gateway.url);
    await chooseModel(page, "echo");
    gateway.upstream.script({
      headers: eventStream,
      steps: [chunk({ role: "assistant", content: "Half of" }), () => seenFirst.promise, cut],
    });
    await say(page, "Tell a tale");
    await page.locator(".answer .text", { hasText: "Half" }).waitFor();
    seenFirst.resolve();
    const answer = await answered(page);
    expect(await answer.textContent()).toContain("Half of");
    expect(await answer.locator(".failure").textContent()).toContain("The answer broke off");
  });

  test("warns of more than 1,000 characters before and tells after what was left out", async () => {
    const page = await visit(gateway.url);
    await page.locator("#model option").first().waitFor({ state: "attached" });
    await page.locator("#message").fill("字".repeat(1001));
    expect(await page.locator("#message-note").textContent()).toContain("1001 characters");
    await page.locator("#message").fill("");
    for (let turn = 0; turn < 3; turn++) {
      await say(page, `${turn} ${"word ".repeat(70)}`);
      await answered(page, turn);
    }
    expect(await page.locator(".answer").last().locator(".warning").first().textContent()).toMatch(
      /left out|shortened/,
    );
  });

  test("does not send while an input method composes", async () => {
    const page = await visit(gateway.url);
    await page.locator("#model option").first().waitFor({ state: "attached" });
    const field = page.locator("#message");
    await field.fill("ni hao");
    await field.dispatchEvent("keydown", {
      key: "Enter",
      isComposing: true,
      bubbles: true,
      cancelable: true,
    });
    expect(await page.locator(".turn").count()).toBe(0);
    await field.press("Shift+Enter");
    expect(await field.inputValue()).toBe("ni hao\n");
  });

  test("shows the request and the response as they were, without the key, and exports", async () => {
    const page = await visit(keyed.url);
    await page.locator("#key").fill(key);
    await page.locator("#key").press("Tab");
    await chooseModel(page, "echo");
    await say(page, "raw");
    const answer = await answered(page);
    await answer.getByText("Request and response").click();
    await answer.locator(".wire pre").last().waitFor();
    const wire = await answer.locator(".wire").textContent();
    expect(wire).toContain('"content": "raw"');
    expect(wire).toContain("x-request-id: ");
    expect(wire).not.toContain(key);
    const exported = async (name: string) => {
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name }).click(),
      ]);
      return Bun.file((await download.path()) ?? "").text();
    };
    expect(JSON.parse(await exported("Export JSON")).messages).toEqual([
      { role: "user", content: "raw" },
      { role: "assistant", content: "Echo: raw" },
    ]);
    expect(await exported("Export Markdown")).toContain("## User\n\nraw\n\n## Assistant\n\nEcho: raw");
  });

  test("says on a server that nobody may use yet what its operator has to do", async () => {
    const bare = await startGateway({ exposed: true });
    const page = await visit(bare.url);
    await page.locator("#model-note", { hasText: "Set API_MASTER_KEY on the server" }).waitFor();
    await page.goto(`${bare.url}/dashboard`);
    await page.locator(".note", { hasText: "Set API_MASTER_KEY on the server" }).waitFor();
    await bare.stop();
  });

  test("asks for a key, says when it is wrong, and stores none unless told to", async () => {
    const page = await visit(keyed.url);
    const field = page.locator("#key");
    await field.waitFor();
    expect(await page.locator("#model-note").textContent()).toContain("Enter the server's API key");
    // Not even that a request was refused.
    expect(seen?.troubles).toEqual([]);
    await field.fill("sk-wrong");
    await field.press("Tab");
    await page.locator("#model-note", { hasText: "not one of the server's" }).waitFor();
    await field.fill(key);
    await field.press("Tab");
    await page.locator("#model option").first().waitFor({ state: "attached" });
    const stores = () => page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
    expect(await stores()).not.toContain(key);
    await page.locator("#keep-key").check();
    expect(await stores()).toContain(key);
    await page.reload();
    await page.locator("#model option").first().waitFor({ state: "attached" });
    await page.locator("#keep-key").uncheck();
    expect(await stores()).not.toContain(key);
  });

  test("says what it can't reach when the server is gone", async () => {
    const page = await visit(gateway.url);
    await page.locator("#model option").first().waitFor({ state: "attached" });
    await page.route("**/chat/completions", (route) => route.abort());
    await say(page, "Hello?");
    const answer = await answered(page);
    expect(await answer.locator(".failure").textContent()).toContain("The server can't be reached");
    if (seen) seen.troubles.length = 0;
  });

  test("ends with an error when its stream ends without the last event", async () => {
    const page = await visit(gateway.url);
    await page.locator("#model option").first().waitFor({ state: "attached" });
    const body = chunk({ role: "assistant", content: "Almost" });
    await page.route("**/chat/completions", (route) =>
      route.fulfill({ contentType: "text/event-stream", body }),
    );
    await say(page, "Hello?");
    expect(await (await answered(page)).locator(".failure").textContent()).toContain("connection_lost");
    await page.unroute("**/chat/completions");
  });

  test("speaks Chinese to those who read it, and to those who choose it", async () => {
    const chinese = await visit(gateway.url, { locale: "zh-CN" });
    await chinese.getByText("想聊点什么？").waitFor();
    await seen?.close();
    const page = await visit(`${gateway.url}/?lang=zh`);
    await page.getByText("想聊点什么？").waitFor();
    await page.locator(".switches button").first().click();
    await page.getByText("What would you like to know?").waitFor();
    expect(await page.locator("html").getAttribute("lang")).toBe("en");
  });

  test("is dark where the system is, or by its switch", async () => {
    const page = await visit(gateway.url, { colorScheme: "dark" });
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    expect(await background()).toBe("rgb(23, 24, 27)");
    await page.getByRole("button", { name: "Light or dark" }).click();
    expect(await background()).toBe("rgb(251, 250, 248)");
  });

  test("fits a phone: nothing wider than the screen, everything within reach", async () => {
    const page = await visit(gateway.url, {
      viewport: { width: 360, height: 640 },
      hasTouch: true,
      isMobile: true,
    });
    await page.locator(".settings > summary").click();
    await page.locator("#model").selectOption("kimi-k2-instruct");
    await page.locator(".settings > summary").click();
    await say(page, "Why?");
    await answered(page);
    for (const place of ["#chat", "#connect"]) {
      await page.goto(`${gateway.url}/ui${place}`);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    }
  });

  test("keeps its settings within their column", async () => {
    for (const locale of ["en-US", "zh-CN"]) {
      const page = await visit(keyed.url, { locale, viewport: { width: 1000, height: 700 } });
      const widths = await page
        .locator(".settings")
        .evaluate(({ scrollWidth, clientWidth }) => [scrollWidth, clientWidth] as const);
      expect(widths[0]).toBe(widths[1]);
      await seen?.close();
    }
  });

  test("has advice on every error in both languages", async () => {
    const { adviceOn } = await import("../../../web/chat/advice.ts");
    for (const code of Object.keys(errorTable))
      for (const text of adviceOn(code)) expect(text.length).toBeGreaterThan(4);
  });
});

there(`the instructions${missing ? ` (skipped: ${missing})` : ""}`, () => {
  test("follow address and model, and copy without the key unless it is to be shown", async () => {
    const page = await visit(`${keyed.url}/ui`);
    await page.locator("#key").fill(key);
    await page.locator("#key").press("Tab");
    await chooseModel(page, "echo");
    await page.getByRole("link", { name: "Connect" }).click();
    const panel = page.locator(".panel");
    expect(await panel.textContent()).toContain(`${keyed.url}/v1/chat/completions`);
    expect(await panel.textContent()).toContain('"model":"echo"');
    expect(await panel.textContent()).not.toContain(key);
    await page.locator("#address").fill("https://chat.example.com/v1/");
    await page.getByRole("button", { name: "Python" }).click();
    expect(await panel.textContent()).toContain('base_url="https://chat.example.com/v1"');
    await page.locator("#show-key").check();
    expect(await panel.textContent()).toContain(key);
    await page.getByRole("button", { name: "Open WebUI" }).click();
    await page.locator("#address").fill("http://127.0.0.1:8088");
    expect(await panel.textContent()).toContain("OPENAI_API_BASE_URL=http://host.docker.internal:8088/v1");
  });

  test("have one-click links that hold address and key, made on the click", async () => {
    const page = await visit(`${gateway.url}/ui#connect`);
    await page.locator("#connect-model option").first().waitFor({ state: "attached" });
    await page.evaluate(() => {
      const opened: string[] = [];
      Object.assign(window, { opened });
      HTMLAnchorElement.prototype.click = function (this: HTMLAnchorElement) {
        opened.push(this.href);
      };
    });
    await page.getByRole("button", { name: "Cherry Studio", exact: true }).click();
    expect(await page.locator("a[href^=cherrystudio]").count()).toBe(0);
    await page.getByRole("button", { name: "Add to Cherry Studio" }).click();
    await page.getByRole("button", { name: "NextChat", exact: true }).click();
    await page.getByRole("button", { name: "Open in NextChat" }).click();
    const [cherry = "", next = ""] = await page.evaluate(
      () => (window as unknown as { opened: string[] }).opened,
    );
    const data = new URL(cherry).searchParams.get("data") ?? "";
    expect(JSON.parse(atob(data))).toMatchObject({ baseUrl: gateway.url, apiKey: "none", type: "openai" });
    expect(JSON.parse(decodeURIComponent(next.split("settings=")[1] ?? ""))).toEqual({
      key: "none",
      url: gateway.url,
    });
  });
});
