/** The site's cookies, as an ordinary visitor's browser would send them back. */
import { parseCookie, parseSetCookie, stringifyCookie } from "cookie";

/** Cookies by name, values as they were written. */
export type CookieJar = Readonly<Record<string, string>>;

const verbatim = { decode: (value: string) => value };

/** PHP reads `%20` as the blank that the header of a cookie can't carry. */
const sendable = {
  encode: (value: string) =>
    value.replace(/[^!-~]/g, (unit) => `%${unit.charCodeAt(0).toString(16).padStart(2, "0")}`),
};

const sendableName = /^[!-~]+$/;

/** A logged-in cookie makes WordPress refuse an anonymous visitor's nonce, whether the cookie is valid or not. */
const isLogin = (name: string): boolean => name.toLowerCase().startsWith("wordpress_logged_in");

/** Browsers drop larger ones. */
const maxCookieBytes = 4_096;

const isTaken = (name: string, value: string): boolean =>
  sendableName.test(name) && !isLogin(name) && name.length + value.length <= maxCookieBytes;

/** Reads a `Cookie` header. */
export function parseCookies(header: string): CookieJar {
  const jar: Record<string, string> = {};
  for (const [name, value = ""] of Object.entries(parseCookie(header, verbatim))) {
    if (isTaken(name, value)) jar[name] = value;
  }
  return jar;
}

/** The jar with what a response sets, without what it deletes. Domain and path are ignored: only one site is called. */
export function collectCookies(jar: CookieJar, headers: Headers, nowMs: number): CookieJar {
  const collected = { ...jar };
  for (const header of headers.getSetCookie()) {
    const { name, value = "", maxAge, expires } = parseSetCookie(header, verbatim);
    if (!isTaken(name, value)) continue;
    const isOver = maxAge === undefined ? expires !== undefined && expires.getTime() <= nowMs : maxAge <= 0;
    if (isOver) delete collected[name];
    else collected[name] = value;
  }
  return collected;
}

/** The jar as a `Cookie` header; "" when it is empty. */
export const cookieHeader = (jar: CookieJar): string => stringifyCookie(jar, sendable);
