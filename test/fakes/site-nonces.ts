import { createHash, createHmac, randomBytes } from "node:crypto";

/** Whom a nonce is for. */
export interface Visitor {
  /** The session cookie that the nonce is bound to; "" for every anonymous visitor. */
  readonly cookie: string;
  /** The token in a `wordpress_logged_in_*` cookie, valid or forged; "" without one. */
  readonly loginToken: string;
}

/** WordPress's nonces: ten hex digits made of the half day, the visitor and the site's secret. */
export interface SiteNonces {
  create(visitor: Visitor, epoch: number, lifeSeconds: number): string;
  isValid(nonce: string, visitor: Visitor, epoch: number, lifeSeconds: number): boolean;
  /** Reads who sends a Cookie header. */
  loginToken(cookies: ReadonlyMap<string, string>): string;
}

/** The nonces of the site at `siteUrl`, with a secret of their own. */
export function siteNonces(siteUrl: string): SiteNonces {
  const secret = randomBytes(32);
  const loginCookie = `wordpress_logged_in_${createHash("md5").update(siteUrl).digest("hex")}`;
  const known = new Map<string, string>();

  const startedAtMs = Date.now();

  /** WordPress counts in halves of a nonce's life; from the site's start, or a test could meet the end of one. */
  const tickNow = (lifeSeconds: number) =>
    Math.floor((Date.now() - startedAtMs) / 1000 / ((lifeSeconds || 86_400) / 2));

  function nonceAt(tick: number, { cookie, loginToken }: Visitor, epoch: number): string {
    const key = `${tick}|${epoch}|kimi_nonce|${cookie}|${loginToken}`;
    let nonce = known.get(key);
    if (nonce === undefined) {
      nonce = createHmac("md5", secret).update(key).digest("hex").slice(-12, -2);
      if (known.size > 10_000) known.clear();
      known.set(key, nonce);
    }
    return nonce;
  }

  return {
    create: (visitor, epoch, lifeSeconds) => nonceAt(tickNow(lifeSeconds), visitor, epoch),
    isValid(nonce, visitor, epoch, lifeSeconds) {
      const tick = tickNow(lifeSeconds);
      return nonce === nonceAt(tick, visitor, epoch) || nonce === nonceAt(tick - 1, visitor, epoch);
    },
    // user|expiration|token|hmac
    loginToken: (cookies) => cookies.get(loginCookie)?.split("|")[2] ?? "",
  };
}
