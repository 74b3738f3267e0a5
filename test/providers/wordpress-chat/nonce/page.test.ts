import { describe, expect, test } from "bun:test";
import { pageScanner } from "../../../../core/providers/wordpress-chat/nonce/page.ts";
import { cpuTimer } from "../../../support/cpu-timer.ts";

const scanPage = pageScanner({ in: "kimi_ajax", path: "nonce" });
const json = '{"ajax_url":"https:\\/\\/kimi-ai.chat\\/wp-admin\\/admin-ajax.php","nonce":"f3749c0f5f"}';
const declaration = `var kimi_ajax = ${json};`;
const found = { nonce: "f3749c0f5f" };
const missing = { problem: "no kimi_ajax in the page" };
const unusable = { problem: "kimi_ajax has no usable nonce" };

/** A page as WordPress makes it, with something in its body. */
function page(body: string): string {
  return `<!DOCTYPE html>
<html lang="en-US"><head><meta charset="UTF-8" /><title>Chat &#8211; Kimi <script></title>
<style>a::before{content:"<script>"}</style>
<script>window._wpemojiSettings = {"baseUrl":"https:\\/\\/s.w.org\\/"};/*! wp-emoji */!function(e){var t=/["'\`]/.test(e)}(1);</script>
</head><body class='page' data-settings="{&quot;a&quot;:&quot;<script>&quot;}">
${body}
<script src='https://kimi-ai.chat/wp-content/plugins/kimi-chat/chat.js?ver=1.0.0' id='kimi-chat-js'></script>
</body></html>`;
}

const script = (code: string, attributes = ""): string => page(`<script${attributes}>${code}</script>`);
const base64 = (code: string): string => btoa(code);
const entities = (code: string): string => code.replaceAll("&", "&amp;").replaceAll('"', "&quot;");

function expectFound(pages: Readonly<Record<string, string>>): void {
  for (const [name, html] of Object.entries(pages)) {
    test(name, () => expect(scanPage(html)).toEqual(found));
  }
}

describe("finds the nonce as WordPress prints it", () => {
  expectFound({
    "plain, single-quoted attributes": page(`	<script id='kimi-chat-js-extra'>\n${declaration}\n</script>`),
    "6.1 in a theme without html5: CDATA": script(
      `\n/* <![CDATA[ */\n${declaration}\n/* ]]> */\n`,
      " type='text/javascript' id='kimi-chat-js-extra'",
    ),
    "6.4 and later": script(`\n${declaration}\n`, ' id="kimi-chat-js-extra"'),
    "6.4 and later in a classic theme": script(
      `\n/* <![CDATA[ */\n${declaration}\n/* ]]> */\n`,
      ' type="text/javascript" id="kimi-chat-js-extra"',
    ),
    "6.9: slashes as they are, and a sourceURL": script(
      '\nvar kimi_ajax = {"ajax_url":"https://kimi-ai.chat/wp-admin/admin-ajax.php","nonce":"f3749c0f5f"};\n//# sourceURL=kimi-chat-js-extra\n',
    ),
    "6.9: tags in a text as \\u003C": script(
      'var kimi_ajax = {"hello":"\\u003Cb\\u003EHi\\u003C/b\\u003E","nonce":"f3749c0f5f"};',
    ),
    "with CRLF line ends": script(`\r\n${declaration}\r\n`),
    "with a BOM and no document around it": `\ufeff<script>${declaration}</script>`,
    "in a page that was cut off right behind it": `<html><script>${declaration}</script><div class="`,
    "in a page that was cut off before </script>": `<html><script>${declaration}`,
  });
});

describe("finds the nonce after an optimiser", () => {
  expectFound({
    minified: `<!doctype html><script id=kimi-chat-js-extra>var kimi_ajax=${json}</script><p>x`,
    "pretty-printed": script(`\nvar kimi_ajax = ${JSON.stringify(JSON.parse(json), null, 4)};\n`),
    "base64 in src": page(`<script src="data:text/javascript;base64,${base64(declaration)}" defer></script>`),
    "base64 with charset, unquoted (W3 Total Cache)": page(
      `<script defer src=data:text/javascript;charset=utf-8;base64,${base64(declaration)} id=x></script>`,
    ),
    "base64 in data-src (LiteSpeed)": page(
      `<script type="litespeed/javascript" data-src="data:text/javascript;base64,${base64(declaration)}"></script>`,
    ),
    "delayed by LiteSpeed": script(declaration, ' id="kimi-chat-js-extra" type="litespeed/javascript"'),
    "delayed by WP Rocket": script(
      declaration,
      ' type="rocketlazyloadscript" data-rocket-type="text/javascript"',
    ),
    "delayed by WP Meteor": script(
      declaration,
      ' type="javascript/blocked" data-wpmeteor-type="text/javascript"',
    ),
    "held back by WP-Optimize": script(declaration, ' type="text/plain" data-type="text/javascript"'),
    "held back by Complianz": script(declaration, ' type="text/plain" data-category="functional"'),
    "held back for consent": script(declaration, ' type="application/consent"'),
    "in an attribute (Real Cookie Banner)": page(
      `<script consent-required="12" consent-by="services" consent-inline="${entities(declaration)}"></script>`,
    ),
    "with the variable's name in another plug-in's settings too": page(
      `<script>var realCookieBanner = {"rules":["*kimi_ajax*","kimi_ajax = "],"nonce":"0123456789"};</script>` +
        `<script>${declaration}</script>` +
        `<script>var blocker = {"kimi_ajax":{"nonce":"0123456789"}};</script>`,
    ),
    "joined with other scripts in a listener": script(
      `var a=b/c,d=/["'{]/g;document.addEventListener("DOMContentLoaded",function(){let kimi_ajax=${json};f("}")})`,
    ),
  });
});

describe("reads the object as JSON", () => {
  const literal = (text: string): string => script(`var kimi_ajax = ${text};`);
  expectFound({
    "objects and arrays within": literal(
      '{"models":[{"id":"a","nonce":"aaaaaaaaaa"}],"strings":{"nonce":"not-the-nonce"},"nonce":"f3749c0f5f","user":{"nonce":"cccccccccc"}}',
    ),
    "}; within a string": literal('{"a":"};","b":"\'}\\"};","nonce":"f3749c0f5f"}'),
    "escaped quotes within a string": literal(
      '{"a":"\\"nonce\\":\\"aaaaaaaaaa\\"\\\\","nonce":"f3749c0f5f"}',
    ),
    "escaped </script> within a string": literal('{"a":"<script>x<\\/script>","nonce":"f3749c0f5f"}'),
    "entities within a string": literal('{"a":"Say &quot;Hi&quot; &amp; go","nonce":"f3749c0f5f"}'),
    "entities within a string, in an attribute": page(
      `<script consent-inline='${entities('var kimi_ajax = {"a":"Say \\"Hi\\" & go","nonce":"f3749c0f5f"};')}'></script>`,
    ),
    "a comment's beginning within a string": literal('{"a":"/*","b":"//","c":"<!--","nonce":"f3749c0f5f"}'),
    "text beyond ASCII": literal('{"a":"安全验证失败 é 😀","nonce":"f3749c0f5f"}'),
  });

  test("text beyond ASCII, in base64", () => {
    const bytes = new TextEncoder().encode('var kimi_ajax = {"a":"安全验证失败 é","nonce":"f3749c0f5f"};');
    const uri = `data:text/javascript;base64,${btoa(String.fromCharCode(...bytes))}`;
    expect(scanPage(page(`<script src="${uri}"></script>`))).toEqual(found);
  });
});

describe("takes no wrong nonce", () => {
  const decoy = 'var kimi_ajax = {"nonce":"0123456789"};';
  expectFound({
    "an empty object before it": page(`<script>var kimi_ajax = {};</script><script>${declaration}</script>`),
    "an empty object after it": page(
      `<script>${declaration}</script><script>var kimi_ajax = kimi_ajax || {};</script>`,
    ),
    "an empty nonce after it": page(
      `<script>${declaration}</script><script>var kimi_ajax = {"nonce":""};</script>`,
    ),
    "another nonce before it": script(`${decoy}${declaration}`),
    "another nonce before it, in an HTML comment": page(
      `<!-- <script>${decoy}</script> --><script>${declaration}</script>`,
    ),
    "variables with similar names": script(
      `${declaration}my_kimi_ajax={"nonce":"a"};kimi_ajax_old={"nonce":"b"};$kimi_ajax={"nonce":"c"};kimi_ajax2={"nonce":"d"}`,
    ),
    "nonces of other things": script(
      `${declaration}wp_ajax={"nonce":"a"};nonce="b";kimi_ajax.strings={"nonce":"c"};x={"kimi_ajax":1,"nonce":"d"}`,
    ),
    comparisons: script(`${declaration}kimi_ajax=={"nonce":"a"};kimi_ajax==={"nonce":"b"}`),
  });

  test("the later of two usable nonces is the one", () => {
    const later = 'var kimi_ajax = {"nonce":"second"};';
    expect(scanPage(page(`<script>${declaration}</script><script>${later}</script>`))).toEqual({
      nonce: "second",
    });
    const moved = `<script src="data:text/javascript;base64,${base64(declaration)}"></script>`;
    expect(scanPage(page(`${moved}<script>${later}</script>`))).toEqual({ nonce: "second" });
    expect(scanPage(page(`<script>${later}</script>${moved}`))).toEqual(found);
  });

  test("an object that breaks off does not lend its name to the next one", () => {
    const broken = 'var kimi_ajax = {"ajax_url":"x"; var other = {"nonce":"0123456789"};';
    expect(scanPage(script(broken))).toEqual(unusable);
  });
});

describe("says why there is no nonce", () => {
  test("no such variable", () => {
    for (const html of [
      "",
      " ",
      "\0",
      "<",
      "<!--",
      "no page",
      '{"success":false}',
      page("<p>kimi_ajax</p>"),
    ]) {
      expect(scanPage(html)).toEqual(missing);
    }
    expect(scanPage(page('<script src="data:text/javascript;base64,!!!"></script>'))).toEqual(missing);
    expect(scanPage(page('<script src="data:text/javascript,%zz"></script>'))).toEqual(missing);
    expect(scanPage(script("jQuery.post(kimi_ajax.ajax_url,{nonce:kimi_ajax.nonce})"))).toEqual(missing);
  });

  test("the variable, but no nonce that can be used", () => {
    for (const value of [
      "{}",
      '{"ajax_url":"x"}',
      '{"nonce":""}',
      '{"nonce":}',
      '{"nonce":null}',
      '{"nonce":7}',
      '{"nonce":"a b"}',
      '{"nonce":"<b>"}',
      '{"nonce":"a\\nb"}',
      `{"nonce":"${"a".repeat(65)}"}`,
      '{"nonce":"abc"+x}',
      '{"nonce":{"nonce":"abc"}}',
      '{"nonce":"abc"',
      '{"nonce":"abc',
    ]) {
      expect([value, scanPage(script(`var kimi_ajax = ${value};`))]).toEqual([value, unusable]);
    }
  });
});

describe("takes time in proportion to the page's length, whatever it says", () => {
  const longestPage = 2_000_000;
  const longestMs = 1_000;
  const fill = (unit: string): string => unit.repeat(Math.floor(longestPage / unit.length));
  const scanInTime = (html: string): ReturnType<typeof scanPage> => {
    const spentMs = cpuTimer();
    const scan = scanPage(html);
    expect(spentMs()).toBeLessThan(longestMs);
    return scan;
  };
  const units = [
    "<",
    "<!--",
    "<script>",
    '<a b="',
    "data:",
    "data:text/javascript",
    "data:text/javascript,",
    "data:text/javascript;base64,",
    "data:text/javascript;base64,e30 ",
    "kimi_ajax",
    "kimi_ajax=",
    "kimi_ajax={",
    'kimi_ajax={"',
    'kimi_ajax={"a":"\\',
    'kimi_ajax={"a":',
    'kimi_ajax={"nonce":""}',
    "kimi_ajax={&quot;",
    "&quot;",
    "&",
    "\\",
    '\\"',
    "{",
    "}",
    " ",
    "\0",
    "é",
    "😀",
  ];

  for (const unit of units) {
    test(`${JSON.stringify(unit)} to the end`, () => {
      expect(scanInTime(fill(unit))).toHaveProperty("problem");
      expect(scanInTime(`kimi_ajax={"a":"${fill(unit)}`)).toHaveProperty("problem");
      expect(scanInTime(fill(unit) + page(`<script>${declaration}</script>`))).toEqual(found);
    });
  }

  test("white space where the line might go on", () => {
    expect(scanInTime(`<script>var kimi_ajax${fill(" ")}</script>`)).toEqual(missing);
    expect(scanInTime(`<script>var kimi_ajax${fill(" ")}=${fill("\n")}${json}</script>`)).toEqual(found);
  });
});
