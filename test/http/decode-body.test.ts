import { describe, expect, test } from "bun:test";
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { findBodyDecoders } from "../../adapters/runtime.ts";
import { standardDecoders } from "../../core/http/decode-body.ts";
import type { BodyDecoders, FindBodyDecoders } from "../../core/types.ts";
import { hello, testHandler } from "../support/test-handler.ts";

const platformDecoders = findBodyDecoders() ?? {};
const encoders: Record<string, (bytes: Uint8Array) => Uint8Array> = {
  gzip: (bytes) => gzipSync(bytes),
  deflate: (bytes) => deflateSync(bytes),
  br: (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
  zstd: (bytes) => zstdCompressSync(bytes),
};
const sets: [string, BodyDecoders][] = [
  ["the platform's zlib", platformDecoders],
  ["DecompressionStream", standardDecoders],
];
const codings = sets.flatMap(([name, decoders]) =>
  Object.keys(decoders).map((coding) => [coding, name, decoders] as const),
);
const json = new TextEncoder().encode(JSON.stringify(hello));

const post = (
  bytes: Uint8Array,
  coding: string,
  bodyDecoders?: BodyDecoders | FindBodyDecoders,
  env = {},
) => {
  const { send } = testHandler(env, { ...(bodyDecoders && { bodyDecoders }) });
  return send("/v1/chat/completions", {
    method: "POST",
    headers: { "content-encoding": coding },
    body: new Uint8Array(bytes),
  });
};
const encode = (coding: string, bytes: Uint8Array): Uint8Array =>
  encoders[coding]?.(bytes) ?? expect.unreachable();

test("the platform of these tests decodes all four codings", () => {
  expect(Object.keys(platformDecoders)).toEqual(Object.keys(encoders));
});

test("decoders are looked for once a compressed body comes; where none are found, there are those of every platform", async () => {
  let calls = 0;
  const find = () => {
    calls++;
    return undefined;
  };
  expect((await post(json, "identity", find)).status).toBe(200);
  expect(calls).toBe(0);
  expect((await post(encode("gzip", json), "gzip", find)).status).toBe(200);
  expect((await post(encode("br", json), "br", find)).status).toBe(415);
  expect(calls).toBe(2);
});

describe.each(codings)("a body in %s, decoded by %s", (coding, _, decoders) => {
  test.each([json.length, 100_000, 1_000_000])("is read, up to %i bytes", async (length) => {
    // Blanks before JSON are a part of it.
    const bytes = new Uint8Array(length).fill(0x20);
    bytes.set(json, length - json.length);
    expect((await post(encode(coding, bytes), coding, decoders)).status).toBe(200);
    expect((await post(encode(coding, bytes), ` ${coding.toUpperCase()}, identity`, decoders)).status).toBe(
      200,
    );
  });

  test("may have as many bytes as any body, and no more", async () => {
    const limit = { MAX_BODY_BYTES: "50000" };
    const of = (length: number) => encode(coding, new Uint8Array(length).fill(0x20));
    expect((await post(of(50_000), coding, decoders, limit)).status).toBe(400);
    const over = await post(of(50_001), coding, decoders, limit);
    expect(over.status).toBe(413);
    expect((await over.json()).error.code).toBe("request_too_large");
  });

  test("that stands for very much more is refused before it fills the memory", async () => {
    const bomb = encode(coding, new Uint8Array(512 * 1024 * 1024));
    Bun.gc(true);
    const before = process.memoryUsage().rss;
    expect((await post(bomb, coding, decoders)).status).toBe(413);
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024);
  });

  test("that is cut short or something else is invalid", async () => {
    const whole = encode(coding, json);
    for (const bytes of [whole.subarray(0, whole.length - 6), json, new Uint8Array(0)]) {
      const response = await post(bytes, coding, decoders);
      expect(response.status).toBe(400);
      expect((await response.json()).error.code).toBeOneOf(["invalid_request", "invalid_json"]);
    }
  });
});

test("x-gzip is gzip", async () => {
  expect((await post(gzipSync(json), "x-gzip")).status).toBe(200);
});

test.each(["zstd", "br", "compress", "gzip, gzip", "__proto__", "aes128gcm"])(
  "a body in %p is 415 where it can't be decoded, with what to do",
  async (coding) => {
    const response = await post(json, coding, standardDecoders);
    expect(response.status).toBe(415);
    expect(response.headers.get("accept-encoding")).toBe("gzip, deflate");
    const { error } = await response.json();
    expect(error).toMatchObject({ code: "unsupported_encoding", param: "Content-Encoding" });
    expect(error.message).toContain("Switch request compression off");
    expect(error.message).toContain("gzip, deflate");
  },
);

test("a body in identity, or in nothing, is read as it is", async () => {
  expect((await post(json, "identity")).status).toBe(200);
  expect((await post(json, "")).status).toBe(200);
});
