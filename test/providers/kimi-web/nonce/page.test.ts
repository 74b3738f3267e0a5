import { describe, expect, test } from "bun:test";
import { scanPage } from "../../../../core/providers/kimi-web/nonce/page.ts";

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

function expectFound(pages: Readonly<Record<string, string>>): void {
  for (const [name, html] of Object.entries(pages)) {
    test(name, () => expect(scanPage(html)).toEqual(found));
  }
}

describe("finds the nonce as WordPress prints it", () => {
  expectFound({
    "plain, single-quoted attributes": page(`	<script id='kimi-chat-js-extra'>\n${declaration}\n</script>`),
    "with CDATA": script(
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
    "XHTML, with the code in CDATA or an HTML comment": script(`//<![CDATA[\n${declaration}\n//]]>`),
    "hidden from browsers of the nineties": script(`<!--\n${declaration}\n//-->`),
    "with CRLF line ends": script(`\r\n${declaration}\r\n`),
    "with a BOM and no document around it": `\ufeff<script>${declaration}</script>`,
    "in a page that was cut off right behind it": `<html><script>${declaration}</script><div class="`,
    "in a page that was cut off before </script>": `<html><script>${declaration}`,
  });
});

describe("finds the nonce after an optimiser", () => {
  const encoded = encodeURIComponent(declaration);
  expectFound({
    minified: `<!doctype html><script id=kimi-chat-js-extra>var kimi_ajax=${json}</script><p>x`,
    "pretty-printed": script(`\nvar kimi_ajax = ${JSON.stringify(JSON.parse(json), null, 4)};\n`),
    "upper-case tags": page(`<SCRIPT TYPE="text/javascript">${declaration}</SCRIPT >`),
    "base64 in src": page(`<script src="data:text/javascript;base64,${base64(declaration)}" defer></script>`),
    "base64 with charset, unquoted": page(
      `<script defer src=data:text/javascript;charset=utf-8;base64,${base64(declaration)} id=x></script>`,
    ),
    "base64, percent-encoded": page(
      `<script src='data:text/javascript;base64,${encodeURIComponent(base64(`${declaration}//??>`))}'></script>`,
    ),
    "percent-encoded in src": page(`<script id="x" src="data:text/javascript,${encoded}" defer></script>`),
    "percent-encoded only where it must be": page(
      `<script src='data:application/javascript;charset=utf-8,${declaration.replaceAll('"', "%22")}'></script>`,
    ),
    "with malformed percent sequences beside it": page(
      `<script src="data:,var%20a='%zz%';${encoded}"></script>`,
    ),
    "with entities in the attribute": page(
      `<script src="data:text/javascript,${declaration.replaceAll("&", "&amp;").replaceAll('"', "&quot;")}"></script>`,
    ),
    "with numeric entities in the attribute": page(
      `<script src="&#100;&#x61;ta&#58;,${declaration.replaceAll('"', "&#34;").replaceAll("{", "&#x7B;")}"></script>`,
    ),
    "delayed by WP Rocket": script(
      declaration,
      ' type="rocketlazyloadscript" data-rocket-type="text/javascript"',
    ),
    "delayed by WP Rocket, as data:": page(
      `<script type="rocketlazyloadscript" data-rocket-src="data:text/javascript;base64,${base64(declaration)}"></script>`,
    ),
    "delayed by LiteSpeed": script(declaration, ' id="kimi-chat-js-extra" type="litespeed/javascript"'),
    "delayed by LiteSpeed, as data:": page(
      `<script type="litespeed/javascript" data-src="data:text/javascript;base64,${base64(declaration)}"></script>`,
    ),
    "data-litespeed-src": page(
      `<script type='litespeed/javascript' data-litespeed-src='data:,${encoded}'></script>`,
    ),
    "delayed as text/plain": script(declaration, ' type="text/plain" data-cookieconsent="marketing"'),
    "delayed by Cloudflare's Rocket Loader": script(declaration, ' type="3f2a0f15c1b2-text/javascript"'),
    "as a module": script(declaration, " type=module async"),
    "run once the document is ready": script(
      `document.addEventListener("DOMContentLoaded",function(){window.kimi_ajax=${json};});`,
    ),
    "joined with scripts that have regular expressions behind conditions": script(
      `if(a(b))/'/.test(c)&&d();while(e)/["{]/g.exec(f);x=(g)/2;y="/";${declaration}`,
    ),
    "joined with other scripts": script(
      `var a=b/c,d=/["'{]/g,e=a/2;function f(x){return/[/"]/.test(x)?\`}\${x+"{"+\`'\`}\`:'\\''}\n${declaration}f("}")`,
    ),
  });
});

describe("finds the nonce however it is declared", () => {
  expectFound({
    let: script(`let kimi_ajax=${json}`),
    const: script(`"use strict";const kimi_ajax = ${json};`),
    "on window": script(`window.kimi_ajax = ${json};`),
    "on window, in brackets": script(`window["kimi_ajax"] = ${json};`),
    "on window, in brackets and apostrophes": script(`window [ 'kimi_ajax' ]=${json};`),
    "on globalThis": script(`globalThis.kimi_ajax=${json}`),
    "without any keyword": script(`kimi_ajax=${json}`),
    "after another variable": script(`var a=1,kimi_ajax=${json},b=2;`),
    "after another object": script(
      `var a={"nonce":"aaaaaaaaaa"},kimi_ajax=${json},b={"nonce":"bbbbbbbbbb"};`,
    ),
    "unless it is there already": script(`var kimi_ajax = window.kimi_ajax || ${json};`),
    "in parentheses": script(`var kimi_ajax = (${json});`),
    "merged with what is there": script(`window.kimi_ajax = Object.assign(window.kimi_ajax || {}, ${json});`),
    "merged by jQuery": script(`var kimi_ajax = jQuery.extend({}, {a:{b:1},nonce:"a"}, ${json});`),
    frozen: script(`var kimi_ajax = Object.freeze(${json});`),
    "together with another name": script(`window.kimi_ajax = window.chat_ajax = ${json};`),
    "and a third, of which it is the last": script(`a = window.kimi_ajax = ${json};`),
    "with logical assignment": script(`window.kimi_ajax ??= ${json}`),
    "over several lines with comments": script(
      `var /* { */ kimi_ajax // = {}\n = /* "nonce":"0000000000" */\n { // }\n "nonce" /* : */ : /**/ "f3749c0f5f" // ,\n }`,
    ),
    "as JSON in a string": script(`var kimi_ajax = JSON.parse('${json.replaceAll("\\", "\\\\")}');`),
    "as JSON in a string of double quotes": script(`var kimi_ajax=JSON.parse(${JSON.stringify(json)})`),
    "as JSON in a template": script('window.kimi_ajax = JSON.parse( `{"nonce":"f3749c0f5f"}` )'),
    "property by property": script(
      'var kimi_ajax = {}; kimi_ajax.ajax_url = "x"; kimi_ajax.nonce = "f3749c0f5f";',
    ),
    "property by property, in brackets": script(`window.kimi_ajax={};window.kimi_ajax['nonce']='f3749c0f5f'`),
  });
});

describe("reads the object as JavaScript does", () => {
  const literal = (text: string): string => script(`var kimi_ajax = ${text};`);
  expectFound({
    "names without quotes": literal('{ajax_url:"/wp-admin/admin-ajax.php",nonce:"f3749c0f5f"}'),
    apostrophes: literal("{'ajax_url':'it\\'s','nonce':'f3749c0f5f'}"),
    "templates without substitution": literal("{ajax_url:`/`,nonce:`f3749c0f5f`}"),
    "a template with substitution beside it": literal(
      "{a:`" + `\${{nonce:'aaaaaaaaaa'}.nonce+\`}\`}` + "`,nonce:'f3749c0f5f'}",
    ),
    "a comma at the end": literal("{nonce:'f3749c0f5f',}"),
    "!0, !1, void 0, numbers": literal("{a:!0,b:!1,c:void 0,d:-1.5e3,e:.5,f:null,nonce:'f3749c0f5f',g:0x1f}"),
    "comments within": literal('{/* "nonce":"0000000000", */nonce:"f3749c0f5f"// , nonce:"0000000000"\n}'),
    escapes: literal('{"n\\u006fnce":"f3749\\x630\\u{66}5f"}'),
    "objects and arrays within": literal(
      '{models:[{id:"a",nonce:"aaaaaaaaaa"},[{nonce:"bbbbbbbbbb"}]],strings:{nonce:"not-the-nonce"},nonce:"f3749c0f5f",user:{nonce:"cccccccccc"}}',
    ),
    "}; within a string": literal('{"a":"};","b":\'}"};\',"nonce":"f3749c0f5f"}'),
    "escaped quotes within a string": literal(
      '{"a":"\\"nonce\\":\\"aaaaaaaaaa\\"\\\\","nonce":"f3749c0f5f"}',
    ),
    "escaped </script> within a string": literal(
      '{"a":"<script>x<\\/script>\\u003C/script\\u003E","nonce":"f3749c0f5f"}',
    ),
    "</script> within a string": literal('{"a":"<b></b></script><script></script>","nonce":"f3749c0f5f"}'),
    "a comment's beginning within a string": literal('{"a":"/*","b":"//","c":"<!--","nonce":"f3749c0f5f"}'),
    "functions and expressions as values": literal(
      "{on:function(e){return{nonce:'aaaaaaaaaa'}},go(){},f:(a,b)=>({nonce:a}),lang:document.documentElement.lang,nonce:'f3749c0f5f'}",
    ),
    "a regular expression as a value": literal("{match:/[\"'}/]{2,}/g,nonce:'f3749c0f5f'}"),
    "the last of two properties": literal("{nonce:'aaaaaaaaaa',nonce:'f3749c0f5f'}"),
  });
});

describe("is not taken in by decoys", () => {
  const decoy = 'var kimi_ajax = {"nonce":"0123456789"};';
  expectFound({
    "an empty object before it": page(`<script>var kimi_ajax = {};</script><script>${declaration}</script>`),
    "an empty object after it": page(
      `<script>${declaration}</script><script>var kimi_ajax = kimi_ajax || {};</script>`,
    ),
    "an empty nonce after it": page(`<script>${declaration}</script><script>kimi_ajax={nonce:""}</script>`),
    "another nonce before it": script(`${decoy}${declaration}`),
    "a script in an HTML comment": page(`<script>${declaration}</script><!-- <script>${decoy}</script> -->`),
    "a script in a conditional comment": page(
      `<script>${declaration}</script><!--[if IE]><script>${decoy}</script><![endif]-->`,
    ),
    "comments of odd forms": page(
      `<!--><script>${declaration}</script><!-- --!><p><!--<script>${decoy}</script>-->`,
    ),
    "a bogus comment": page(`<script>${declaration}</script><?php echo <script>${decoy}`),
    "comments in the script": script(`${declaration}\n// ${decoy}\n/* ${decoy} */`),
    "a string in the script": script(`${declaration}var old='${decoy}';`),
    "a template in the script": script(`${declaration}var old=\`${decoy}\${1}${decoy}\`;`),
    "a regular expression in the script": script(`${declaration}var old=/kimi_ajax={nonce:"0123456789"}/;`),
    "the words in the text": page(`<p>${decoy}</p><script>${declaration}</script><pre>${decoy}</pre>`),
    "a script in an attribute": page(
      `<script>${declaration}</script><div title="<script>${decoy.replaceAll('"', "'")}</script>">`,
    ),
    "a script in a textarea": page(
      `<script>${declaration}</script><textarea><script>${decoy}</script></textarea>`,
    ),
    "a script in a template": page(
      `<script>${declaration}</script><template><script>${decoy}</script></template>`,
    ),
    "a script in noscript": page(
      `<script>${declaration}</script><noscript><script>${decoy}</script></noscript>`,
    ),
    "a script that holds a template": page(
      `<script>${declaration}</script><script type="text/template">${decoy}</script><script type="text/x-tmpl">${decoy}</script>`,
    ),
    "JSON-LD": page(
      `<script>${declaration}</script><script type="application/ld+json">{"x":"${decoy.replaceAll('"', "'")}"}</script>`,
    ),
    "the body of a script that is loaded": page(
      `<script>${declaration}</script><script src="/x.js">${decoy}</script>`,
    ),
    "variables with similar names": script(
      `${declaration}my_kimi_ajax={nonce:"a"};kimi_ajax_old={nonce:"b"};$kimi_ajax={nonce:"c"};kimi_ajaxé={nonce:"d"}`,
    ),
    "properties of the same name": script(
      `${declaration}my.kimi_ajax={nonce:"a"};my["kimi_ajax"]={nonce:"b"};x().kimi_ajax={nonce:"c"};window.my.kimi_ajax={nonce:"d"}`,
    ),
    "nonces of other things": script(
      `${declaration}kimi_ajax.strings.nonce="a";my.kimi_ajax.nonce="b";kimi_ajax.nonces="c";nonce="d";x=["kimi_ajax"]["nonce"]="e"`,
    ),
    "copies of it with another nonce": script(
      `${declaration}var copy=Object.assign({},kimi_ajax,{nonce:"a"});x=$.extend(kimi_ajax,1),{nonce:"b"}`,
    ),
    comparisons: script(
      `${declaration}kimi_ajax=={nonce:"a"};kimi_ajax==={nonce:"b"};kimi_ajax.nonce!="c";kimi_ajax=>{nonce:"d"}`,
    ),
    "a statement on the line after a missing semicolon": script(
      `${declaration}kimi_ajax = old\nother = {nonce:"a"}`,
    ),
  });

  test("the later of two usable nonces is the one", () => {
    expect(
      scanPage(page(`<script>${declaration}</script><script>kimi_ajax={nonce:"second"}</script>`)),
    ).toEqual({ nonce: "second" });
    expect(scanPage(script(`${declaration}kimi_ajax.nonce="second"`))).toEqual({ nonce: "second" });
  });

  test("only decoys are no nonce", () => {
    expect(scanPage(page(`<!-- <script>${decoy}</script> --><p>${decoy}</p>`))).toEqual(missing);
    expect(scanPage(script(`// ${decoy}\n/* ${decoy} */ x='${decoy}';my_${decoy.slice(4)}`))).toEqual(
      missing,
    );
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
    expect(scanPage(script("jQuery.post(kimi_ajax.ajax_url,{nonce:kimi_ajax.nonce})"))).toEqual(missing);
  });

  test("the variable, but no nonce that can be used", () => {
    for (const value of [
      "{}",
      '{"ajax_url":"x"}',
      '{"nonce":""}',
      '{"nonce":}',
      '{"nonce":null}',
      '{"nonce":"a b"}',
      '{"nonce":"<b>"}',
      '{"nonce":"a\\nb"}',
      `{"nonce":"${"a".repeat(65)}"}`,
      '{"nonce":"abc"+x}',
      '{"nonce":{"nonce":"abc"}}',
      '["nonce","abc"]',
      '{"nonce":"abc"',
      '{"nonce":"abc',
      '"abc"',
      "function(){return {nonce:'abc'}}()",
      'JSON.parse(\'{"nonce":""}\')',
      "JSON.parse('{')",
    ]) {
      expect([value, scanPage(script(`var kimi_ajax = ${value};`))]).toEqual([value, unusable]);
    }
  });
});

describe("comes to an end with a page of any size and malice", () => {
  const bytes = 2 * 1024 * 1024;
  const fill = (unit: string): string => unit.repeat(Math.floor(bytes / unit.length));
  const markup = [
    "<",
    "</",
    "<!",
    "<!--",
    "<script",
    "<script ",
    "<script>",
    "<script></script>",
    "<script>kimi_ajax</script>",
    '<script>kimi_ajax={a:"</script>',
    "<script>kimi_ajax/*</script>",
    "<script src=data:,kimi_ajax=",
    "<script x='data:;base64,",
    "<style>",
    '<a b="',
    "<a b='",
    "<a b=",
    "<a =",
    "<a b = ",
    "&#",
    " ",
    "\0",
  ];
  const code = [
    "kimi_ajax",
    "kimi_ajax=",
    "kimi_ajax={",
    "kimi_ajax={a:{nonce:",
    'kimi_ajax={a:"',
    'kimi_ajax="\\"',
    "kimi_ajax='\\",
    "kimi_ajax=/*",
    "kimi_ajax=//",
    "kimi_ajax=/[",
    "kimi_ajax=JSON.parse('",
    "kimi_ajax={nonce:'a'},",
    "window.",
    'window["kimi_ajax"]',
    "`",
    "`${",
    "{",
    "[",
    "(",
    "}",
    "\\",
    "\\u{",
    "é",
    "😀",
    "\n",
  ];

  for (const unit of markup) {
    test(`${JSON.stringify(unit)} to the end`, () => expect(scanPage(fill(unit))).toHaveProperty("problem"));
  }
  for (const unit of code) {
    test(`a script of ${JSON.stringify(unit)}`, () => {
      expect(scanPage(`<script>kimi_ajax={nonce:'before'};${fill(unit)}`)).toHaveProperty("nonce");
      expect(scanPage(`<script>kimi_ajax;${fill(unit)}</script><script>${declaration}</script>`)).toEqual(
        found,
      );
    });
  }

  test("whitespace where a tag or a name might go on", () => {
    expect(scanPage(`<script ${fill(" ")}`)).toEqual(missing);
    expect(scanPage(`<script a${fill(" ")}=${fill(" ")}>${declaration}</script>`)).toEqual(found);
    expect(scanPage(`<script>var kimi_ajax${fill(" ")}=${fill("\n")}${json}</script>`)).toEqual(found);
  });

  test("the nonce behind two megabytes of page", () => {
    expect(scanPage(fill("<p class='a'>kimi_ajax</p>") + page(`<script>${declaration}</script>`))).toEqual(
      found,
    );
  });
});
