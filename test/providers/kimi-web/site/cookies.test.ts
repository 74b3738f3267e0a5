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
});
