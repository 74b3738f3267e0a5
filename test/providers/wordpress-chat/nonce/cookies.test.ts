import { expect, test } from "bun:test";
import {
  collectCookies,
  cookieHeader,
  parseCookies,
} from "../../../../core/providers/wordpress-chat/nonce/cookies.ts";

const nowMs = Date.parse("2026-03-01T00:00:00Z");

const collect = (header: string, ...setCookies: string[]) => {
  const headers = new Headers();
  for (const value of setCookies) headers.append("set-cookie", value);
  return cookieHeader(collectCookies(parseCookies(header), headers, nowMs));
};

test("a cookie jar keeps values as they were written", () => {
  expect(collect("", "a=b%20c; Path=/; HttpOnly", "b=x=y==", 'c="q"; Secure', "d=; path=/")).toBe(
    'a=b%20c; b=x=y==; c="q"; d=',
  );
});

test("a cookie jar writes what a header can't carry as PHP reads it", () => {
  expect(collect("a=b c", "b=\u00e9 x; path=/")).toBe("a=b%20c; b=%e9%20x");
});

test("a cookie jar lets the site's own value win over one that was there, and keeps the others", () => {
  expect(collect("cf_clearance=own; kimi_sess=old", "kimi_sess=new; path=/")).toBe(
    "cf_clearance=own; kimi_sess=new",
  );
});

test("a cookie jar drops what the site deletes", () => {
  expect(collect("a=1; b=2; c=3; d=4", "a=; Max-Age=0", "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT")).toBe(
    "c=3; d=4",
  );
  expect(collect("", "a=1; Max-Age=-5", "b=1; Expires=Sun, 01 Mar 2026 00:00:01 GMT")).toBe("b=1");
});

test("a cookie jar believes Max-Age rather than Expires", () => {
  expect(collect("", "a=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT")).toBe("a=1");
});

test("a cookie jar never takes a login cookie, from either side", () => {
  expect(
    collect("wordpress_logged_in_0a1b=x; a=1", "wordpress_logged_in_0a1b=y", "WordPress_Logged_In=z"),
  ).toBe("a=1");
});

test("a cookie jar drops a cookie of more than 4,096 bytes, as browsers do", () => {
  const largest = `a=${"x".repeat(4_095)}`;
  expect(collect("", largest)).toBe(largest);
  expect(collect("b=1", `${largest}x; path=/`, `b=${"x".repeat(12_000)}`)).toBe("b=1");
  expect(collect(`a=${"x".repeat(5_000)}; b=1`)).toBe("b=1");
});

test("a cookie jar passes over what is no cookie", () => {
  expect(collect(" ; novalue; =x; a = 1 ;; b c=2", "", "=nameless", "justtext", "d e=3")).toBe("a=1");
});
