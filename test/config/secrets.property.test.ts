/** Whatever is planted in whichever setting: no text that is shown has a piece of four or more characters of it. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseConfig } from "../../core/config/config.ts";
import { configuredSecrets } from "../../core/config/secrets.ts";
import { ApiError } from "../../core/errors.ts";
import { withoutSecrets } from "../../core/operations/log.ts";
import { recordingLogger } from "../fakes/recording-logger.ts";

/** Random enough to share no four characters with the gateway's own words. */
const secret = fc
  .array(fc.constantFrom(..."QZXJKWVY0123456789qzxjkwvy"), { minLength: 12, maxLength: 40 })
  .map((letters) => letters.join(""));

/** Each setting that can hold a secret, with one in it. */
const settings: Readonly<Record<string, (value: string) => Record<string, string>>> = {
  API_MASTER_KEY: (value) => ({ API_MASTER_KEY: value }),
  API_KEYS: (value) => ({ API_KEYS: JSON.stringify({ alice: value }) }),
  OPENAI_API_KEY: (value) => ({ OPENAI_BASE_URL: "http://h.example/v1", OPENAI_API_KEY: value }),
  "a base URL's query": (value) => ({ OPENAI_BASE_URL: `http://h.example/v1?key=${value}` }),
  "a base URL's user": (value) => ({
    PROVIDERS: JSON.stringify([
      { name: "p", baseUrl: `http://h.example/v1?a=b&token=${value}`, models: ["m"] },
    ]),
  }),
  "a provider's key": (value) => ({
    PROVIDERS: JSON.stringify([{ name: "p", baseUrl: "http://h.example/v1", apiKey: value }]),
  }),
  "a provider's headers": (value) => ({
    PROVIDERS: JSON.stringify([{ name: "p", baseUrl: "http://h.example/v1", headers: { "x-odd": value } }]),
  }),
  "UPSTREAM_HEADERS, a header": (value) => ({
    UPSTREAM_HEADERS: JSON.stringify({ authorization: `Basic ${value}` }),
  }),
  "UPSTREAM_HEADERS, a cookie": (value) => ({
    UPSTREAM_HEADERS: JSON.stringify({ cookie: `a=b; login=${value}` }),
  }),
  CHAT_PAGE_URL: (value) => ({ CHAT_PAGE_URL: `https://site.example/chat/?preview=${value}` }),
  REDIS_URL: (value) => ({ REDIS_URL: `redis://user:${value}@127.0.0.1:6379/0` }),
  "REDIS_URL of a cluster": (value) => ({
    REDIS_URL: `redis+cluster://user:${encodeURIComponent(value)}@a.example:7000,b.example`,
  }),
  "REDIS_URL of sentinels": (value) => ({
    REDIS_URL: `redis+sentinel://a.example,b.example/name?sentinel_password=${encodeURIComponent(value)}`,
  }),
  UPSTASH_REDIS_REST_TOKEN: (value) => ({
    UPSTASH_REDIS_REST_URL: "https://kv.example",
    UPSTASH_REDIS_REST_TOKEN: value,
  }),
  DENO_KV_ACCESS_TOKEN: (value) => ({ DENO_KV_ACCESS_TOKEN: value }),
  HTTPS_PROXY: (value) => ({ HTTPS_PROXY: `http://user:${value}@proxy.example:3128` }),
};

const piecesOf = (text: string): string[] =>
  Array.from({ length: text.length - 3 }, (_, at) => text.slice(at, at + 4));

test.each(Object.entries(settings))(
  "a secret in %s is hidden in errors and log lines, every cut of it",
  (_, plant) => {
    fc.assert(
      fc.property(
        secret,
        fc.nat(40),
        fc.nat(40),
        fc.string(),
        fc.string(),
        (value, at, length, before, after) => {
          const environment = plant(value);
          const secrets = configuredSecrets(parseConfig(environment), environment);
          const from = at % (value.length - 3);
          const cut = value.slice(from, from + 4 + (length % (value.length - from - 3)));
          const text = `${before} ${cut} ${after}`;
          const error = new ApiError("upstream_rejected", text, {
            param: text,
            upstream: { status: 400, code: text, type: text },
          }).reworded(secrets.hide);
          const log = recordingLogger();
          withoutSecrets(log, secrets).error("some.event", {
            error: text,
            reason: text,
            model: text,
            requestId: value,
          });
          const shown = JSON.stringify([error.toBody(), log.lines]);
          const innocent = before + after;
          expect(
            piecesOf(value).filter((piece) => shown.includes(piece) && !innocent.includes(piece)),
          ).toEqual([]);
        },
      ),
      { numRuns: 50 },
    );
  },
);

test("cookies and nonces that come up later are hidden too", () => {
  const secrets = configuredSecrets(parseConfig({}));
  secrets.add("Zq7Wx93kLm");
  expect(secrets.hide("a nonce: 7Wx93k.")).toBe("a nonce: ***.");
});

test("the gateway's own words stay readable beside secrets that have a word in common with them", () => {
  const config = parseConfig({ API_KEYS: '{"alice":"sk-alice-kimi-k2-instruct"}' });
  const { hide } = configuredSecrets(config);
  const text = "no connection to the upstream could be made, or it broke: kimi-k2-instruct of alice";
  expect(hide(text)).toBe(text);
});
