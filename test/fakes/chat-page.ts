/** The page with the chat widget, in the shapes that WordPress and its optimiser plugins give it. */

/** The script block as WordPress 6.1 prints it, and what is in it. */
interface Block {
  readonly json: string;
  readonly ajaxUrl: string;
  readonly nonce: string;
}

const inline = (body: string, attributes = "id='kimi-chat-js-extra'") =>
  `<script ${attributes}>\n${body}\n</script>\n`;
const assign = ({ json }: Block) => `var kimi_ajax = ${json};`;
const base64 = (text: string) => Buffer.from(text).toString("base64");
const escaped = (url: string) => url.replaceAll("/", "\\/");

function nested({ ajaxUrl, nonce }: Block): string {
  const model = (id: string) => `{"id":"${escaped(id)}","limits":{"chars":1000}}`;
  const models = [model("moonshotai/Kimi-K2-Instruct-0905"), model("moonshotai/Kimi-K2-Instruct")].join(",");
  return inline(
    `var kimi_ajax = {"ajax_url":"${escaped(ajaxUrl)}","models":[${models}],"strings":{"error":"Something went wrong","nonce":"not-the-nonce"},"nonce":"${nonce}","user":{"logged_in":false,"id":0}};`,
  );
}

/** Variants with a usable nonce that the simulator plugin of a real WordPress has too. */
const wordpressVariants: Readonly<Record<string, (block: Block) => string>> = {
  plain: (block) => inline(assign(block)),
  classic: (block) =>
    inline(`/* <![CDATA[ */\n${assign(block)}\n/* ]]> */`, "type='text/javascript' id='kimi-chat-js-extra'"),
  nested,
  wp64: (block) => inline(assign(block), 'id="kimi-chat-js-extra"'),
  wp64classic: (block) =>
    inline(`/* <![CDATA[ */\n${assign(block)}\n/* ]]> */`, 'type="text/javascript" id="kimi-chat-js-extra"'),
  minified: ({ json }) => `<script id=kimi-chat-js-extra>var kimi_ajax=${json};</script>`,
  pretty: ({ ajaxUrl, nonce }) =>
    inline(`var kimi_ajax = {\n    "ajax_url": "${escaped(ajaxUrl)}",\n    "nonce": "${nonce}"\n};`),
  base64: (block) =>
    `<script id="kimi-chat-js-extra" src="data:text/javascript;base64,${base64(assign(block))}" defer></script>\n`,
  datauri: (block) =>
    `<script id="kimi-chat-js-extra" src="data:text/javascript,${encodeURIComponent(assign(block))}" defer></script>\n`,
  decoy: (block) =>
    `<script>var kimi_ajax = {};</script>\n<!-- <script>var kimi_ajax = {"ajax_url":"","nonce":"0123456789"};</script> -->\n${inline(assign(block))}`,
};

const movedScriptName = "8f3b6a1c9d.js";

/** The file into which the shape `moved` has put the script block. */
export const movedScriptPath = `/wp-content/litespeed/js/${movedScriptName}`;

/** What stands in that file. */
export const movedScript = (ajaxUrl: string, nonce: string): string =>
  `!function(){window.a={b:"}"}}();var kimi_ajax = {"ajax_url":"${escaped(ajaxUrl)}","nonce":"${nonce}"};jQuery(function(){});`;

/** Further shapes that plug-ins of real sites give the page, of which only the stand-in knows. */
const furtherVariants: Readonly<Record<string, (block: Block) => string>> = {
  wp69: ({ ajaxUrl, nonce }) =>
    inline(
      `var kimi_ajax = {"ajax_url":"${ajaxUrl}","hello":"\\u003Cb\\u003EHi\\u003C/b\\u003E","nonce":"${nonce}"};\n//# sourceURL=kimi-chat-js-extra`,
      'id="kimi-chat-js-extra"',
    ),
  base64_unquoted: ({ json }) =>
    `<script defer id=kimi-chat-js-extra src=data:text/javascript;base64,${base64(`var kimi_ajax=${json}`)}></script>\n`,
  litespeed: (block) =>
    inline(assign(block), 'data-optimized="1" type="litespeed/javascript" id="kimi-chat-js-extra"'),
  litespeed_src: (block) =>
    `<script id="kimi-chat-js-extra" type="litespeed/javascript" data-src="data:text/javascript;base64,${base64(assign(block))}"></script>\n`,
  rocket: (block) => inline(assign(block), 'type="rocketlazyloadscript" data-rocket-type="text/javascript"'),
  meteor: (block) => inline(assign(block), 'type="javascript/blocked" data-wpmeteor-type="text/javascript"'),
  text_plain: (block) => inline(assign(block), 'type="text/plain" data-type="text/javascript"'),
  consent: (block) => inline(assign(block), 'type="application/consent"'),
  consent_attribute: (block) =>
    `<script>var realCookieBanner = {"rules":["*kimi_ajax*"],"nonce":"0123456789"};</script>\n` +
    `<script consent-required="12" consent-by="services" consent-inline="${assign(block).replaceAll('"', "&quot;")}"></script>\n`,
  listener: ({ json }) =>
    inline(
      `try{var wp_ajax = {"nonce":"aaaaaaaaaa"};document.addEventListener("click",function(){if(1<2){console.log("};")}let kimi_ajax = ${json};})}catch(e){}`,
    ),
  strings: ({ ajaxUrl, nonce }) =>
    inline(
      `var kimi_ajax = {"welcome":"Use {braces}; or \\"quotes\\" };","example":"<b>hi<\\/b><\\/script>","ajax_url":"${escaped(ajaxUrl)}","path":"C:\\\\","nonce":"${nonce}"};`,
    ),
  nested_last: ({ ajaxUrl, nonce }) =>
    inline(
      `var kimi_ajax = {"nonce":"${nonce}","ajax_url":"${escaped(ajaxUrl)}","rest":{"nonce":"restnonce0","root":"\\/"}};`,
    ),
  moved: () =>
    `<script src="/wp-includes/js/jquery/jquery.min.js?ver=3.7.1"></script>\n` +
    `<script data-src='/wp-content/litespeed/js/${movedScriptName}?ver=1&#038;x=2' type="litespeed/javascript"></script>\n`,
  huge: (block) =>
    `<script>var filler = "${"{ kimi nonce ".repeat(100_000)}";</script>\n${inline(assign(block))}<p>${"<".repeat(200_000)}</p>\n`,
};

/** Variants without a usable nonce, known to both sites. */
const wordpressBroken: Readonly<Record<string, (block: Block) => string>> = {
  no_nonce: ({ ajaxUrl }) => inline(`var kimi_ajax = {"ajax_url":"${escaped(ajaxUrl)}"};`),
  empty_nonce: ({ ajaxUrl }) => inline(`var kimi_ajax = {"ajax_url":"${escaped(ajaxUrl)}","nonce":""};`),
  broken_json: () => inline('var kimi_ajax = {"ajax_url":"x","nonce":};'),
  none: () => "",
};

/** Further broken ones: pages that drive a careless regular expression mad, an unfinished script. */
const furtherBroken: Readonly<Record<string, (block: Block) => string>> = {
  bomb_braces: () => inline(`var kimi_ajax = ${"{".repeat(200_000)}`),
  bomb_declarations: () => inline('var kimi_ajax = {"nonce":'.repeat(20_000)),
  bomb_quotes: () => inline(`var kimi_ajax = {"a":"${'\\"'.repeat(200_000)}`),
  bomb_scripts: () => "<script>var kimi_ajax = {".repeat(20_000),
  bomb_blanks: () => inline(`var kimi_ajax${" ".repeat(500_000)}`),
  unfinished: ({ ajaxUrl }) =>
    `<script id='kimi-chat-js-extra'>\nvar kimi_ajax = {"ajax_url":"${escaped(ajaxUrl)}","nonce":"abc`,
};

/** Page variants with a working nonce that stand-in and real WordPress share. */
export const sharedPageVariants: readonly string[] = Object.keys(wordpressVariants);

/** Page variants with a working nonce that only the stand-in has; WordPress answers them with `plain`. */
export const furtherPageVariants: readonly string[] = Object.keys(furtherVariants);

/** Page variants without a nonce that stand-in and real WordPress share. */
export const sharedBrokenPageVariants: readonly string[] = Object.keys(wordpressBroken);

/** Page variants without a nonce that only the stand-in has. */
export const furtherBrokenPageVariants: readonly string[] = Object.keys(furtherBroken);

const variants = new Map(
  [wordpressVariants, furtherVariants, wordpressBroken, furtherBroken].flatMap((group) =>
    Object.entries(group),
  ),
);

const squeeze = (text: string) => text.replace(/\s*\n\s*/g, " ").replace(/>\s+</g, "><");

/** The page of the site at `siteUrl`; `nonce` is good for a visitor. */
export function chatPage(variant: string, siteUrl: string, nonce: string): string {
  const ajaxUrl = `${siteUrl}/wp-admin/admin-ajax.php`;
  const block: Block = { ajaxUrl, nonce, json: `{"ajax_url":"${escaped(ajaxUrl)}","nonce":"${nonce}"}` };
  const render = variants.get(variant);
  const script = render
    ? render(block)
    : `<!-- simulator: no such page variant: ${variant} -->${inline(assign(block))}`;
  const page = `<!DOCTYPE html>
<html lang="en-US">
<head>
	<meta charset="UTF-8" />
	<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name='robots' content='max-image-preview:large' />
<title>Chat &#8211; Kimi AI</title>
<link rel='dns-prefetch' href='//127.0.0.1' />
<link rel="alternate" type="application/rss+xml" title="Kimi AI &raquo; Feed" href="${siteUrl}/feed/" />
<script>
window._wpemojiSettings = {"baseUrl":"https:\\/\\/s.w.org\\/images\\/core\\/emoji\\/14.0.0\\/72x72\\/","ext":".png","svgUrl":"https:\\/\\/s.w.org\\/images\\/core\\/emoji\\/14.0.0\\/svg\\/","svgExt":".svg","source":{"concatemoji":"${escaped(siteUrl)}\\/wp-includes\\/js\\/wp-emoji-release.min.js?ver=6.1.9"}};
/*! This file is auto-generated */
!function(e,a,t){var n,r,o,i=a.createElement("canvas"),p=i.getContext&&i.getContext("2d");function s(e,t){var a=String.fromCharCode,e=(p.clearRect(0,0,i.width,i.height),p.fillText(a.apply(this,e),0,0),i.toDataURL());return p.clearRect(0,0,i.width,i.height),p.fillText(a.apply(this,t),0,0),e===i.toDataURL()}function c(e){var t=a.createElement("script");t.src=e,t.defer=t.type="text/javascript",a.getElementsByTagName("head")[0].appendChild(t)}}(window,document,window._wpemojiSettings);
</script>
<style id='wp-block-site-title-inline-css'>
.wp-block-site-title{font-size: var(--wp--preset--font-size--medium);font-weight: normal;line-height: 1.4;}
.wp-block-site-title a:where(:not(.wp-element-button)){text-decoration: none;}
</style>
<link rel="https://api.w.org/" href="${siteUrl}/wp-json/" />
<link rel="canonical" href="${siteUrl}/chat/" />
<meta name="generator" content="WordPress 6.1.9" />
</head>

<body class="page-template-default page page-id-4 wp-embed-responsive">
<div class="wp-site-blocks"><main id="wp--skip-link--target"><h1>Chat</h1>
<div id="kimi-chat"><div class="log"></div><form><select name="model"><option value="moonshotai/Kimi-K2-Instruct-0905">Kimi K2 0905</option><option value="moonshotai/Kimi-K2-Instruct">Kimi K2</option></select><textarea name="message" maxlength="1000"></textarea><button>Send</button></form></div>
</main></div>
<script src='${siteUrl}/wp-includes/js/jquery/jquery.min.js?ver=3.6.1' id='jquery-core-js'></script>
	<script>
	( function() {
		var skipLinkTarget = document.querySelector( 'main' );
		if ( ! skipLinkTarget ) {
			return;
		}
	}() );
	</script>
	${script}<script src='${siteUrl}/wp-content/plugins/kimi-chat-sim/chat.js?ver=1.0.0' id='kimi-chat-js'></script>
</body>
</html>
`;
  return variant === "minified" ? squeeze(page) : page;
}
