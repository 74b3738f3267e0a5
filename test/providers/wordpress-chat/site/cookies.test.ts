import { describe, expect, test } from "bun:test";
import { chatWithSite } from "./site-chat.ts";

const { site, chat, seen, expectTraffic } = await chatWithSite();

describe("cookies of the site", () => {
  test.each(["require", "bind"] as const)("that it wants back (%s) are sent back", async (cookie) => {
    await site.set({ cookie });
    const { ask } = chat();
    await ask("Hello");
    await ask("Hello");
    await expectTraffic({ messages: 2, fetches: 1 });
    expect((await seen()).ajax[0]?.headers.cookie).toMatch(/^kimi_sess=[0-9a-f]{26}$/);
  });

  test("join those of the operator", async () => {
    await site.set({ cookie: "require" });
    await chat({ headers: { Cookie: "cf_clearance=abc" } }).ask("Hello");
    const cookie = (await seen()).ajax[0]?.headers.cookie ?? "";
    expect(cookie.split("; ").sort()).toEqual(["cf_clearance=abc", expect.stringMatching(/^kimi_sess=/)]);
  });

  test.each(["json", "json403"] as const)(
    "are fetched anew when they are missing (%s)",
    async (cookieFail) => {
      const { ask } = chat();
      await ask("Hello");
      await site.set({ cookie: "require", cookie_fail: cookieFail });
      expect((await ask("Again")).text).toStartWith("You said: Again");
      await expectTraffic({ messages: 3, fetches: 2 });
    },
  );

  test("are fetched anew when the site has forgotten them", async () => {
    await site.set({ cookie: "require" });
    const { ask } = chat();
    await ask("Hello");
    await site.forget();
    expect((await ask("Again")).text).toStartWith("You said: Again");
    await expectTraffic({ messages: 3, fetches: 2 });
  });

  if (!site.isWordpress) {
    test("are forgotten when they are too large for the web server, and the message goes again once", async () => {
      await site.set({ cookie: "require" });
      const { ask } = chat({ headers: { cookie: "own=1" } });
      await ask("Hello");
      await site.set({ cookie: "off" });
      await site.queue({ ajax: ["large_header"] });
      const answer = await ask("Again");
      expect(answer.text).toStartWith("You said: Again");
      expect(answer.calls).toBe(2);
      await expectTraffic({ messages: 3, fetches: 2 });
      await ask("And on");
      const { ajax } = await seen();
      expect(ajax.map(({ headers }) => headers.cookie)).toEqual([
        expect.stringMatching(/^own=1; kimi_sess=/),
        expect.stringMatching(/^own=1; kimi_sess=/),
        "own=1",
        "own=1",
      ]);
    });

    test("that are not to blame for a header too large are told of", async () => {
      await site.set({ ajax: "large_header" });
      const { failure } = chat({ headers: { cookie: "own=1" } });
      const error = await failure("Hello");
      expect(error.code).toBe("upstream_invalid_response");
      expect(error.message).toContain("UPSTREAM_HEADERS");
      await expectTraffic({ messages: 1, fetches: 2 });
    });
  }
});
