import { describe, expect, test } from "bun:test";
import { settle } from "../../../fakes/fake-clock.ts";
import { begin, context, faultOf, fetched, hourMs, html, page, pageUrl, setUp } from "./asked-page.ts";

describe("the first credentials", () => {
  test("are fetched once for all who ask at the same time", async () => {
    const { source, calls, clock, last } = setUp();
    const all = Promise.all(Array.from({ length: 20 }, () => source.get(context())));
    await settle();
    last().answer(page("nonce1", "a=1; path=/", "wordpress_logged_in_x=2"));
    const got = await all;
    expect(new Set(got).size).toBe(1);
    expect(got[0]).toMatchObject({ nonce: "nonce1", cookie: "a=1" });
    expect(calls).toHaveLength(1);
    expect(calls[0]?.url).toBe(`${pageUrl}?_=${clock.now()}`);
  });

  test("are kept for twelve hours", async () => {
    const set = setUp();
    const first = await fetched(set);
    await set.clock.advance(12 * hourMs - 1);
    expect(await set.source.get(context())).toBe(first);
    await set.clock.advance(1);
    expect((await fetched(set, page("nonce2"))).nonce).toBe("nonce2");
  });

  test("come though one who waits for them leaves", async () => {
    const { source, calls, last } = setUp();
    const leaver = new AbortController();
    const [left] = await begin(source.get({ signal: leaver.signal }));
    const [stayed] = await begin(source.get(context()));
    leaver.abort("gone");
    expect(await faultOf(left as Promise<unknown>)).toBe("gone" as never);
    expect(last().signal.aborted).toBe(false);
    last().answer(page("nonce1"));
    expect(await stayed).toMatchObject({ nonce: "nonce1" });
    expect(calls).toHaveLength(1);
  });

  test("are given up when the last has left, and then asked for anew", async () => {
    const { source, calls, clock, last } = setUp();
    const leavers = [new AbortController(), new AbortController()];
    for (const { signal } of leavers) await begin(source.get({ signal }));
    for (const leaver of leavers) leaver.abort("gone");
    await settle();
    expect(last().signal.aborted).toBe(true);
    expect(clock.pending).toBe(0);
    const [next] = await begin(source.get(context()));
    expect(calls).toHaveLength(2);
    last().answer(page("nonce1"));
    expect(await next).toMatchObject({ nonce: "nonce1" });
  });

  test("are asked for anew if the one who began has left and nothing comes", async () => {
    const { source, calls, clock, last } = setUp();
    const leaver = new AbortController();
    await begin(source.get({ signal: leaver.signal }));
    await clock.advance(1_000);
    const [stayed] = await begin(source.get(context()));
    leaver.abort("gone");
    await clock.advance(4_999);
    expect(calls).toHaveLength(1);
    await clock.advance(5_000);
    expect(calls).toHaveLength(2);
    last().answer(page("nonce1"));
    expect(await stayed).toMatchObject({ nonce: "nonce1" });
    expect(calls[0]?.signal.aborted).toBe(true);
    expect(clock.pending).toBe(0);
  });

  test("are not even asked for by one who has left already", async () => {
    const { source, clock, calls } = setUp();
    expect(await faultOf(source.get({ signal: AbortSignal.abort("gone") }))).toBe("gone" as never);
    expect([clock.pending, calls.length]).toEqual([0, 0]);
  });

  test("are waited for no longer than 15 s, by each with a timer of its own", async () => {
    const { source, clock, last } = setUp();
    const [first] = await begin(source.get(context()));
    await clock.advance(10_000);
    const [second] = await begin(source.get(context()));
    expect(clock.pending).toBe(2);
    await clock.advance(5_000);
    expect((await faultOf(first as Promise<unknown>)).code).toBe("upstream_timeout");
    expect((await faultOf(second as Promise<unknown>)).code).toBe("upstream_timeout");
    expect(last().signal.aborted).toBe(true);
    expect(clock.pending).toBe(0);
    expect((await fetched({ source, clock, last, calls: [] })).nonce).toBe("nonce1");
  });

  test("are asked for again after a failure", async () => {
    const set = setUp();
    const [failing] = await begin(set.source.get(context()));
    set.last().answer(new Response("<title>Down</title>", { status: 503 }));
    expect((await faultOf(failing as Promise<unknown>)).code).toBe("upstream_unavailable");
    expect((await fetched(set)).nonce).toBe("nonce1");
  });

  test("can be fetched ahead, which never throws", async () => {
    const { source, calls, last } = setUp();
    const [warm] = await begin(source.warmUp());
    last().fail(new TypeError("fetch failed"));
    await warm;
    const [again] = await begin(source.warmUp());
    last().answer(page("nonce1"));
    await again;
    expect(await source.get(context())).toMatchObject({ nonce: "nonce1" });
    expect(calls).toHaveLength(2);
  });
});

describe("the page that credentials come from", () => {
  const failure = async (response: Response) => {
    const { source, last } = setUp();
    const [failing] = await begin(source.get(context()));
    last().answer(response);
    return faultOf(failing as Promise<unknown>);
  };
  const redirect = (location: string, ...setCookies: string[]) =>
    new Response(null, {
      status: 302,
      headers: [
        ["location", location],
        ...setCookies.map((value): [string, string] => ["set-cookie", value]),
      ],
    });

  test("is followed to other addresses of its site, with the cookies that it sets on the way", async () => {
    const { source, calls, clock, last } = setUp();
    const [got] = await begin(source.get(context()));
    last().answer(redirect("/chat/new/", "a=1", "b=1"));
    await settle();
    // Past page caches there too.
    expect(last().url).toBe(`http://site.test/chat/new/?_=${clock.now()}`);
    expect(last().headers.cookie).toBe("a=1; b=1; wordpress_no_cache=1");
    last().answer(page("nonce1", "b=2"));
    expect(await got).toMatchObject({ nonce: "nonce1", cookie: "a=1; b=2" });
    expect(calls).toHaveLength(2);
  });

  test("is not followed to another host, scheme or port", async () => {
    for (const location of [
      "http://evil.test/chat/",
      "https://site.test/chat/",
      "http://site.test:81/",
      "//evil.test/",
      "file:///etc/passwd",
    ]) {
      const { source, calls, last } = setUp();
      const [failing] = await begin(source.get(context()));
      last().answer(redirect(location));
      expect((await faultOf(failing as Promise<unknown>)).code).toBe("upstream_nonce_unavailable");
      expect(calls).toHaveLength(1);
    }
  });

  test("that redirects in a circle is given up", async () => {
    let calls = 0;
    const { source } = setUp({
      fetch: async () => {
        calls++;
        return redirect(pageUrl);
      },
    });
    const fault = await faultOf(source.get(context()));
    expect([fault.code, calls]).toEqual(["upstream_nonce_unavailable", 6]);
  });

  test("without a nonce says what it is", async () => {
    const fault = await failure(new Response("<title>Log In</title>"));
    expect([fault.code, fault.message.includes('("Log In")')]).toEqual(["upstream_nonce_unavailable", true]);
    const missing = await failure(new Response("<title>Nothing here</title>", { status: 404 }));
    expect(missing.code).toBe("upstream_nonce_unavailable");
    expect(missing.message).toContain('status 404 ("Nothing here")');
  });

  test("of a firewall is a challenge, though an ordinary page may have its scripts too", async () => {
    const challenge = new Response("<title>Just a moment...</title>", { status: 403 });
    expect((await failure(challenge)).code).toBe("upstream_challenge");
    const set = setUp();
    const script = '<script src="/cdn-cgi/challenge-platform/scripts/jsd/main.js"></script>';
    expect(await fetched(set, new Response(script + html("nonce1")))).toMatchObject({ nonce: "nonce1" });
  });

  test("over 2 MiB is read so far", async () => {
    const long = " ".repeat(3_000_000);
    const set = setUp();
    expect(await fetched(set, new Response(html("nonce1") + long))).toMatchObject({ nonce: "nonce1" });
    expect((await failure(new Response(long + html("nonce1")))).code).toBe("upstream_nonce_unavailable");
  });
});

describe("cookies that the operator has set", () => {
  test("go with the site's own, whose values win", async () => {
    const set = setUp({ cookie: "cf_clearance=mine; lang=en; wordpress_logged_in_x=1" });
    const got = await fetched(set, page("nonce1", "lang=de", "a=1"));
    expect(set.calls[0]?.headers.cookie).toBe("cf_clearance=mine; lang=en; wordpress_no_cache=1");
    expect(got).toMatchObject({ cookie: "cf_clearance=mine; lang=de; a=1" });
  });
});

describe("a renewal of credentials", () => {
  test("passes page caches, as a new visitor", async () => {
    const set = setUp({ cookie: "own=1" });
    const used = await fetched(set, page("nonce1", "kimi_sess=1"));
    const [renewed] = await begin(set.source.renew(used, "certain", context()));
    const { url, headers } = set.last();
    expect(url).toBe(`${pageUrl}?_=${set.clock.now()}`);
    expect(headers).toMatchObject({ "cache-control": "no-cache", pragma: "no-cache" });
    expect(headers.cookie).toStartWith("own=1; ");
    expect(headers.cookie).not.toContain("kimi_sess");
    set.last().answer(page("nonce2", "kimi_sess=2"));
    expect(await renewed).toMatchObject({ nonce: "nonce2", cookie: "own=1; kimi_sess=2" });
  });

  test("is made once for all whose nonce was refused, and those who come later wait for it", async () => {
    const set = setUp();
    const used = await fetched(set);
    const all = Promise.all([
      ...Array.from({ length: 10 }, () => set.source.renew(used, "certain", context())),
      set.source.get(context()),
    ]);
    await settle();
    set.last().answer(page("nonce2"));
    expect(new Set((await all).map((got) => got?.nonce))).toEqual(new Set(["nonce2"]));
    expect(set.calls).toHaveLength(2);
    // One whose message was under way all the time.
    expect(await set.source.renew(used, "certain", context())).toMatchObject({ nonce: "nonce2" });
    expect(set.calls).toHaveLength(2);
  });

  test("on a mere suspicion holds nobody up", async () => {
    const set = setUp();
    const used = await fetched(set);
    const [renewed] = await begin(set.source.renew(used, "suspected", context()));
    expect(await set.source.get(context())).toBe(used);
    set.last().answer(page("nonce1"));
    expect(await renewed).toBeUndefined();
    const [again] = await begin(set.source.renew(used, "certain", context()));
    expect(set.calls).toHaveLength(3);
    set.last().answer(page("nonce2"));
    expect(await again).toMatchObject({ nonce: "nonce2" });
  });

  test("counts a new cookie as a change, but not one of the edge", async () => {
    const set = setUp();
    const used = await fetched(set, page("nonce1", "__cf_bm=1", "a=1"));
    const [same] = await begin(set.source.renew(used, "suspected", context()));
    set.last().answer(page("nonce1", "__cf_bm=2", "a=1"));
    expect(await same).toBeUndefined();
    const [changed] = await begin(set.source.renew(used, "certain", context()));
    set.last().answer(page("nonce1", "__cf_bm=3", "a=2"));
    expect(await changed).toMatchObject({ cookie: "__cf_bm=3; a=2" });
  });

  test("that brings the same leaves the page alone for 30 s, however many ask meanwhile", async () => {
    const set = setUp();
    const used = await fetched(set);
    const [renewed] = await begin(set.source.renew(used, "certain", context()));
    set.last().answer(page("nonce1"));
    expect(await renewed).toBeUndefined();
    for (let second = 0; second < 29; second++) {
      await set.clock.advance(1_000);
      expect(await set.source.renew(await set.source.get(context()), "certain", context())).toBeUndefined();
    }
    expect(set.calls).toHaveLength(2);
    await set.clock.advance(1_000);
    await begin(set.source.renew(used, "certain", context()));
    expect(set.calls).toHaveLength(3);
  });

  test("that finds no nonce leaves the page alone too", async () => {
    const set = setUp();
    const used = await fetched(set);
    const [failing] = await begin(set.source.renew(used, "certain", context()));
    set.last().answer(new Response("<title>Chat</title>"));
    expect((await faultOf(failing as Promise<unknown>)).code).toBe("upstream_nonce_unavailable");
    expect(await set.source.renew(used, "certain", context())).toBeUndefined();
    expect(set.calls).toHaveLength(2);
  });

  test("that is refused too leaves the page alone; one that helped does not", async () => {
    const set = setUp();
    const used = await fetched(set);
    const [first] = await begin(set.source.renew(used, "certain", context()));
    set.last().answer(page("nonce2"));
    const renewed = await first;
    if (renewed === undefined) throw new Error("not renewed");

    const [second] = await begin(set.source.renew(renewed, "certain", context()));
    expect(set.calls).toHaveLength(3);
    set.last().answer(page("nonce3"));
    const refused = await second;
    if (refused === undefined) throw new Error("not renewed");
    set.source.refusedAgain(refused);
    expect(await set.source.renew(refused, "certain", context())).toBeUndefined();
    expect(set.calls).toHaveLength(3);
  });

  test("is never put off when holdOffMs is 0", async () => {
    const set = setUp({ holdOffMs: 0 });
    const used = await fetched(set);
    for (let calls = 2; calls < 5; calls++) {
      const [renewed] = await begin(set.source.renew(used, "certain", context()));
      expect(set.calls).toHaveLength(calls);
      set.last().answer(page("nonce1"));
      expect(await renewed).toBeUndefined();
    }
  });
});
