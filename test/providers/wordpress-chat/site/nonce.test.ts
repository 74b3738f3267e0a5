import { describe, expect, test } from "bun:test";
import {
  furtherBrokenPageVariants,
  furtherPageVariants,
  sharedBrokenPageVariants,
  sharedPageVariants,
} from "../../../fakes/chat-page.ts";
import { cpuTimer } from "../../../support/cpu-timer.ts";
import { chatWithSite, hourMs, minuteMs } from "./site-chat.ts";

const { site, chat, seen, expectTraffic } = await chatWithSite();

describe("the site's nonce", () => {
  test.each([...sharedPageVariants])("is found in the page's shape %s", async (page) => {
    await site.set({ page });
    expect((await chat().ask("Hello")).text).toStartWith("You said: Hello");
    await expectTraffic({ messages: 1, fetches: 1 });
  });

  if (!site.isWordpress) {
    test.each([...furtherPageVariants])("is found in the page's shape %s", async (page) => {
      await site.set({ page });
      expect((await chat().ask("Hello")).text).toStartWith("You said: Hello");
      await expectTraffic({ messages: 1, fetches: 1 });
    });
  }

  test.each([...sharedBrokenPageVariants, ...(site.isWordpress ? [] : furtherBrokenPageVariants)])(
    "is missed at once in the page's shape %s",
    async (page) => {
      await site.set({ page });
      const { failure } = chat();
      const spentMs = cpuTimer();
      expect((await failure("Hello")).code).toBe("upstream_nonce_unavailable");
      expect(spentMs()).toBeLessThan(1000);
      expect((await seen()).messages).toBe(0);
    },
  );

  test("is fetched once for twenty callers who come together", async () => {
    const { ask } = chat();
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => ask(`Hello ${index}`)));
    expect(answers.map(({ text }) => text.split("\n", 1)[0])).toEqual(
      Array.from({ length: 20 }, (_, index) => `You said: Hello ${index}`),
    );
    await expectTraffic({ messages: 20, fetches: 1 });
  });

  test("is renewed once for twenty callers whose nonce has died", async () => {
    const { ask } = chat();
    await ask("Hello");
    await site.rotate();
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask("Hello")));
    for (const { text } of answers) expect(text).toStartWith("You said: Hello");
    const { ajax, fetches } = await seen();
    expect(fetches).toBe(2);
    expect(ajax.filter(({ outcome }) => outcome === "ok")).toHaveLength(21);
    expect(ajax.length).toBeLessThanOrEqual(41);
  });

  test.each([
    ["referer", ""],
    ["json", "Security check failed"],
    ["json", "Invalid nonce."],
    ["json", "Your session has expired"],
    ["json", "Please refresh the page and try again"],
    ["json403", "Nonce verification failed"],
    ["json403", "Session expired"],
  ] as const)(
    "is renewed when the site refuses it by %s %s, and the message goes again once",
    async (check, text) => {
      await site.set({ nonce_check: check, nonce_fail_text: text });
      const { ask } = chat();
      await ask("Hello");
      await site.rotate();
      const answer = await ask("Again");
      expect(answer.text).toStartWith("You said: Again");
      expect(answer.calls).toBe(2);
      await expectTraffic({ messages: 3, fetches: 2 });
    },
  );

  if (!site.isWordpress) {
    test("is renewed when the site refuses it in the REST API's words", async () => {
      const { ask } = chat();
      await ask("Hello");
      await site.rotate();
      await site.queue({ ajax: ["rest_nonce"] });
      const answer = await ask("Again");
      expect(answer.text).toStartWith("You said: Again");
      expect(answer.calls).toBe(2);
      await expectTraffic({ messages: 3, fetches: 2 });
    });
  }

  test("is fetched past page caches: with a query that changes and no-cache headers", async () => {
    const { ask, clock } = chat();
    await ask("Hello");
    await site.rotate();
    await clock.advance(1);
    await ask("Hello");
    const { pages } = await seen();
    expect(new Set(pages.map(({ uri }) => uri)).size).toBe(2);
    for (const { uri, headers } of pages) {
      expect(uri).toMatch(/^\/chat\/\?_=\d{13}$/);
      expect(`${headers["cache-control"]} ${headers.pragma}`).toBe("no-cache no-cache");
    }
  });

  test.each([["query"], ["no-cache"], ["cookie"]])(
    "is fetched past a page cache that lets %s through, and so is never a dead one",
    async (bypass) => {
      await site.set({ page_cache: "on", page_cache_bypass: [bypass] });
      await fetch(site.pageUrl).then((page) => page.text());
      await site.rotate();
      await site.log({ clear: true });
      expect((await chat().ask("Hello")).text).toStartWith("You said: Hello");
      expect((await seen()).pages.map(({ cache }) => cache)).toEqual([`bypass:${bypass}`]);
      await expectTraffic({ messages: 1, fetches: 1 });
    },
  );

  test("is given up when a page cache can't be passed, and not asked for again within 30 s", async () => {
    await site.set({ page_cache: "on", page_cache_bypass: [] });
    const { ask, failure, clock } = chat();
    await ask("Hello");
    await site.rotate();
    expect(await failure("Hello")).toMatchObject({ code: "upstream_nonce_unavailable", shouldRetry: false });
    await expectTraffic({ messages: 2, fetches: 2 });

    await clock.advance(29_000);
    expect((await failure("Hello")).code).toBe("upstream_nonce_unavailable");
    expect((await seen()).fetches).toBe(2);

    await clock.advance(2_000);
    await site.purge();
    expect((await ask("Hello")).text).toStartWith("You said: Hello");
    expect((await seen()).fetches).toBe(3);
  });

  test("is asked for again at once when the hold-off is switched off", async () => {
    await site.set({ page_cache: "on", page_cache_bypass: [] });
    const { ask, failure } = chat({ holdOffMs: 0 });
    await ask("Hello");
    await site.rotate();
    await failure("Hello");
    await failure("Hello");
    expect((await seen()).fetches).toBe(3);
  });

  test("is given up when the site refuses even the renewed one", async () => {
    const { ask, failure } = chat();
    await ask("Hello");
    await site.rotate();
    await site.set({ ajax: "nonce_real" });
    expect((await failure("Hello")).code).toBe("upstream_nonce_unavailable");
    await expectTraffic({ messages: 3, fetches: 2 });
    // And is not looked for again for a while.
    expect((await failure("Hello")).code).toBe("upstream_nonce_unavailable");
    await expectTraffic({ messages: 4, fetches: 2 });
  });

  test("is not blamed again and again for words that only sound like it", async () => {
    await site.set({ ajax: "error=AI token expired, please refresh" });
    const error = await chat().failure("Hello");
    expect(error.code).toBe("upstream_nonce_unavailable");
    expect(error.message).toContain("AI token expired, please refresh");
    await expectTraffic({ messages: 1, fetches: 2 });
  });

  test("can't be renewed while the page has a fault, which is told, and is renewed afterwards", async () => {
    const { ask, failure } = chat();
    await ask("Hello");
    await site.rotate();
    await site.queue({ page: ["challenge", "http=500"] });
    expect((await failure("Hello")).code).toBe("upstream_challenge");
    expect((await failure("Hello")).code).toBe("upstream_unavailable");
    expect((await ask("Again")).text).toStartWith("You said: Again");
  });

  test("is kept for twelve hours and no longer", async () => {
    const { ask, clock } = chat();
    await ask("Hello");
    await clock.advance(12 * hourMs - minuteMs);
    await ask("Hello");
    await expectTraffic({ messages: 2, fetches: 1 });
    await clock.advance(2 * minuteMs);
    await ask("Hello");
    await expectTraffic({ messages: 3, fetches: 2 });
  });

  test("is still fetched for the others when one of the callers leaves", async () => {
    await site.set({ page_mode: "slow=0.3" });
    const { ask } = chat();
    const leaving = new AbortController();
    const left = ask("Hello", { signal: leaving.signal }).catch((reason: unknown) => reason);
    const stayed = ask("Hello");
    while ((await seen()).fetches === 0) await Bun.sleep(5);
    const reason = new Error("gone");
    leaving.abort(reason);
    expect(await left).toBe(reason);
    expect((await stayed).text).toStartWith("You said: Hello");
    await expectTraffic({ messages: 1, fetches: 1 });
  });
});

describe("a refusal by the site in unknown words", () => {
  test("is the site's error while the nonce is proven: a message was accepted with it within 60 s", async () => {
    const { ask, failure, clock } = chat();
    await clock.advance(hourMs);
    await ask("Hello");
    await clock.advance(59_000);
    await site.set({ ajax: "error=The moon is in the wrong house" });
    const error = await failure("Hello");
    expect(error).toMatchObject({ code: "upstream_error", status: 502, shouldRetry: false });
    expect(error.message).toContain("The moon is in the wrong house");
    await expectTraffic({ messages: 2, fetches: 1 });
  });

  test.each(["Sicherheitsprüfung fehlgeschlagen.", "安全验证失败，请刷新页面后重试", "Invalid request"])(
    "is a refusal of the nonce that no message was accepted with yet, where the page has another one: %s",
    async (words) => {
      await site.set({
        page_cache: "on",
        page_cache_bypass: [],
        nonce_check: "json",
        nonce_fail_text: words,
      });
      const { warmUp, ask } = chat();
      await warmUp();
      await site.rotate();
      await site.purge();
      const answer = await ask("Hello");
      expect(answer.text).toStartWith("You said: Hello");
      expect(answer.calls).toBe(2);
      await expectTraffic({ messages: 2, fetches: 2 });
    },
  );

  test("has the page asked once a minute when no message was ever accepted, and is the error each time", async () => {
    await site.set({ ajax: "error=The moon is in the wrong house" });
    const { failure, clock } = chat();
    for (let message = 0; message < 3; message++) {
      expect((await failure("Hello")).message).toContain("The moon is in the wrong house");
    }
    await expectTraffic({ messages: 3, fetches: 2 });
    await clock.advance(61_000);
    await failure("Hello");
    await expectTraffic({ messages: 4, fetches: 3 });
  });

  test("has the page asked once when the last accepted message is 60 s ago, and is the error if the nonce is the same", async () => {
    const { ask, failure, clock } = chat();
    await ask("Hello");
    await clock.advance(61_000);
    await site.set({ ajax: "error=The moon is in the wrong house" });
    expect((await failure("Hello")).code).toBe("upstream_error");
    await expectTraffic({ messages: 2, fetches: 2 });
  });

  test("is the error even when the page can't be had, since the site's own words tell more", async () => {
    const { ask, failure, clock } = chat();
    await ask("Hello");
    await clock.advance(61_000);
    await site.set({ ajax: "error=The moon is in the wrong house", page_mode: "http=500" });
    const error = await failure("Hello");
    expect(error.code).toBe("upstream_error");
    expect(error.message).toContain("The moon is in the wrong house");
  });

  test("has the message sent again once when the old nonce has changed meanwhile", async () => {
    const { ask, clock } = chat();
    await ask("Hello");
    await clock.advance(61_000);
    await site.rotate();
    await site.queue({ ajax: ["error=The moon is in the wrong house"] });
    expect((await ask("Again")).text).toStartWith("You said: Again");
    await expectTraffic({ messages: 3, fetches: 2 });
  });
});
