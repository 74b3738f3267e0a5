/** The site's cookies, as an ordinary visitor's browser would send them back. */
import { parseSetCookie } from "cookie";

/** Cookies by name, values as they were written. */
export type CookieJar = Map<string, string>;

/** A logged-in cookie makes WordPress refuse an anonymous visitor's nonce, whether the cookie is valid or not. */
const isLogin = (name: string): boolean => name.toLowerCase().startsWith("wordpress_logged_in");

const verbatim = { decode: (value: string) => value };

/** Reads a `Cookie` header. */
export function parseCookies(header: string): CookieJar {
  const jar: CookieJar = new Map();
  for (const pair of header.split(";")) {
    const equals = pair.indexOf("=");
    const name = pair.slice(0, Math.max(equals, 0)).trim();
    if (name !== "" && !isLogin(name)) jar.set(name, pair.slice(equals + 1).trim());
  }
  return jar;
}

/** Takes in what a response sets and drops what it deletes. Domain and path are ignored: only one site is called. */
export function collectCookies(jar: CookieJar, headers: Headers, nowMs: number): void {
  for (const header of headers.getSetCookie()) {
    const { name, value, maxAge, expires } = parseSetCookie(header, verbatim);
    if (name === "" || isLogin(name)) continue;
    const isOver = maxAge === undefined ? expires !== undefined && expires.getTime() <= nowMs : maxAge <= 0;
    if (isOver) jar.delete(name);
    else jar.set(name, value ?? "");
  }
}

/** The jar as a `Cookie` header; "" when it is empty. */
export function cookieHeader(jar: CookieJar): string {
  return Array.from(jar, ([name, value]) => `${name}=${value}`).join("; ");
}
