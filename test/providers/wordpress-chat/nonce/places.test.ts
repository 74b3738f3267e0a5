/** Where chat plug-ins other than kimi-ai.chat's have their nonce. */
import { describe, expect, test } from "bun:test";
import { nonceCandidates, pageScanner } from "../../../../core/providers/wordpress-chat/nonce/page.ts";
import { cpuTimer } from "../../../support/cpu-timer.ts";

const page = (body: string): string =>
  `<!DOCTYPE html><html><head><title>x</title></head><body>${body}</body></html>`;
const found = { nonce: "f3749c0f5f" };
const quoted = (json: string): string => json.replaceAll("&", "&amp;").replaceAll('"', "&quot;");

describe("a nonce is found", () => {
  test.each<[what: string, where: string, path: string, html: string]>([
    [
      "below other keys",
      "shopChat",
      "ajax.nonce",
      '<script>var shopChat = {"ajax":{"url":"x","nonce":"f3749c0f5f"}};</script>',
    ],
    ["as a variable's whole value", "chatNonce", "nonce", "<script>const chatNonce = 'f3749c0f5f';</script>"],
    [
      "in a property",
      "security",
      "nonce",
      "<script>jQuery.post(url, {action: 'say', security: 'f3749c0f5f'})</script>",
    ],
    [
      "under a property of window",
      "shopChat",
      "nonce",
      '<script>window["shopChat"] = {"nonce":"f3749c0f5f"};</script>',
    ],
    [
      "in a literal without quotes around its keys",
      "cfg",
      "nonce",
      "<script>let cfg = { url: '/x', nonce: 'f3749c0f5f' };</script>",
    ],
    [
      "in an object within another",
      "chat",
      "nonce",
      '<script>var all = {"chat":{"nonce":"f3749c0f5f"}};</script>',
    ],
    [
      "in a JSON island",
      "#chat-data",
      "api.nonce",
      '<script type="application/json" id="chat-data">{"api":{"nonce":"f3749c0f5f"}}</script>',
    ],
    [
      "in an island with escapes",
      "#chat-data",
      "nonce",
      '<script id=\'chat-data\' type=application/json>\n{"u":"\\u003Cb\\u003E","nonce":"f3749c0f5f"}\n</script>',
    ],
    [
      "in an attribute with JSON",
      "[data-config]",
      "nonce",
      `<div class="chat" data-config="${quoted('{"a":"<b>","nonce":"f3749c0f5f"}')}"></div>`,
    ],
    [
      "in an attribute in single quotes",
      "[data-config]",
      "nonce",
      `<div data-config='{&quot;nonce&quot;:&quot;f3749c0f5f&quot;}'></div>`,
    ],
    [
      "in an attribute with raw JSON",
      "[data-config]",
      "nonce",
      `<div data-config='{"nonce":"f3749c0f5f"}'></div>`,
    ],
    ["in an attribute of its own", "[data-nonce]", "nonce", "<div data-nonce=f3749c0f5f></div>"],
    [
      "in the last of several",
      "[data-nonce]",
      "nonce",
      '<p data-nonce="other"></p><p data-nonce="f3749c0f5f"></p>',
    ],
  ])("%s", (_, where, path, html) => {
    expect(pageScanner({ in: where, path })(page(html))).toEqual(found);
  });
});

test.each<[where: string, html: string, problem: string]>([
  ["shopChat", "<script>var other = {}</script>", "no shopChat in the page"],
  ["shopChat", '<script>var shopChat = {"key":"x"}</script>', "shopChat has no usable ajax.nonce"],
  ["#chat", "<div id=other></div>", "no element with the id chat in the page"],
  ["#chat", "<script id=chat>{}</script>", "#chat has no usable ajax.nonce"],
  ["[data-x]", "<p></p>", "no attribute data-x in the page"],
  ["[data-x]", '<p data-x="{}"></p>', "data-x has no usable ajax.nonce"],
])("where there is none at %s, the problem says what was looked for", (where, html, problem) => {
  expect(pageScanner({ in: where, path: "ajax.nonce" })(page(html))).toEqual({ problem });
});

test("a name of signs is no pattern", () => {
  const scan = pageScanner({ in: "$a.b(c", path: "nonce" });
  expect(scan(page('<script>$a.b(c = {"nonce":"f3749c0f5f"}</script>'))).toEqual(found);
  expect(pageScanner({ in: "[data-(]", path: "a.*" })(page("<p data-x=y>"))).toHaveProperty("problem");
});

test("the doctor is told of other variables with what could be a nonce, and of no values", () => {
  const html = page(
    '<script>var shopChat = {"ajax":{"security":"f3749c0f5f"},"id":"0123456789"}; var a = {"x":1};</script>' +
      `<script src="data:text/javascript;base64,${btoa('var wpApi={"nonce":"abcdef0123"};')}"></script>`,
  );
  expect(nonceCandidates(html)).toEqual(["shopChat at ajax.security", "wpApi at nonce"]);
});

test("takes time in proportion to the page's length, wherever it looks", () => {
  for (const where of ["cfg", "#cfg", "[cfg]"]) {
    const scan = pageScanner({ in: where, path: "nonce" });
    for (const unit of ["cfg", "cfg={", "cfg={a:'", " id=cfg>", ' cfg="', " cfg=", "cfg: '", "&#", "<"]) {
      const spentMs = cpuTimer();
      scan(unit.repeat(2_000_000 / unit.length));
      expect({ where, unit, isFast: spentMs() < 1_000 }).toEqual({ where, unit, isFast: true });
    }
  }
});
