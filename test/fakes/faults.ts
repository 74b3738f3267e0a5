/**
 * Everything that misbehaves, by its mode: `NAME` or `NAME=ARGUMENT`, several with `|` ("slow=2|nonce_json").
 *
 * - time: `slow=SECONDS`
 * - nonce: `nonce_json`, `nonce_json403`, `nonce_real`, `unknown_action`, `zero`
 * - success:false: `error`, `error=TEXT`, `error_status=500`, `too_long`, `ratelimit200`, `ratelimit=SECONDS`
 * - success:true without a text: `success_nodata`, `data_empty_object`, `data_empty_array`, `message_null`, `message_empty`
 * - not quite JSON: `warning`, `trailing_zero`, `truncated_json`, `empty`, `html_type`
 * - connection: `cut` (in the middle of the body), `kill` (nginx's own 502)
 * - host and edge, for pages too: `http=STATUS`, `cf502`, `challenge`, `challenge503`, `redirect`, `redirect=URL`, `html200`, `fatal`
 * - pages only: `notfound`, `empty`, `cut`, `kill`
 * - firewalls, not in the real site's simulator: those of firewalls.ts
 * - only here, not in the real site's simulator: `error_json=TEXT` (JSON without `success`), `rest_nonce`, `bom`,
 *   `blank_lines`, `comment` (HTML after the JSON), `data_string`
 *   (the message without an object around it), `null`
 * - reply text: `long`, `long=BYTES`, `cjk`, `emoji`, `newlines`, `markdown`, `text=TEXT`
 */
import { STATUS_CODES } from "node:http";
import { firewallAnswers } from "./firewalls.ts";
import {
  ajaxDie,
  ajaxError,
  ajaxFatal,
  ajaxJson,
  ajaxText,
  edgeAnswer,
  nginxPage,
  notFound,
  pageFatal,
  phpDied,
  phpJson,
  phpWarning,
  type SiteAnswer,
} from "./wordpress-answers.ts";
import { phpTrim } from "./wordpress-sanitizers.ts";

/** One `NAME=ARGUMENT` of a mode. */
export interface Step {
  readonly name: string;
  readonly argument: string;
}

const ok: readonly Step[] = [{ name: "ok", argument: "" }];

/** "slow=2|nonce_json" → its two steps. */
export function parseMode(mode: string): readonly Step[] {
  if (mode === "ok") return ok;
  const steps = mode
    .split("|")
    .map(phpTrim)
    .filter((part) => part !== "")
    .map((part) => {
      const at = part.indexOf("=");
      return at < 0
        ? { name: part, argument: "" }
        : { name: phpTrim(part.slice(0, at)), argument: part.slice(at + 1) };
    });
  return steps.length > 0 ? steps : ok;
}

/** The steps as they were written. */
export function modeText(steps: readonly Step[]): string {
  return steps.map(({ name, argument }) => (argument === "" ? name : `${name}=${argument}`)).join("|");
}

/** Seconds of a `slow` step, as milliseconds. */
export const slowMs = ({ argument }: Step): number => (argument === "" ? 3000 : Number(argument) * 1000 || 0);

const hex = (bytes: number) => Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");

/** The answer of an edge, a host or a login wall, which WordPress never sees; undefined for any other mode. */
export function edgeFault(
  { name, argument }: Step,
  where: "ajax" | "page",
  siteUrl: string,
): SiteAnswer | undefined {
  const firewallAnswer = firewallAnswers[name];
  if (firewallAnswer !== undefined) return firewallAnswer();
  switch (name) {
    case "challenge":
    case "challenge503": {
      const ray = hex(8);
      return edgeAnswer(
        name,
        name === "challenge" ? 403 : 503,
        `<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title><meta http-equiv="Content-Type" content="text/html; charset=UTF-8"><meta name="robots" content="noindex,nofollow"><meta http-equiv="refresh" content="390"></head><body class="no-js"><div class="main-wrapper" role="main"><div class="main-content"><noscript><div id="challenge-error-title"><div class="h2"><span id="challenge-error-text">Enable JavaScript and cookies to continue</span></div></div></noscript></div></div><script>(function(){window._cf_chl_opt={cvId:'3',cZone:"kimi-ai.chat",cType:'managed',cRay:'${ray}'};var cpo=document.createElement('script');cpo.src='/cdn-cgi/challenge-platform/h/g/orchestrate/chl_page/v1?ray=${ray}';document.getElementsByTagName('head')[0].appendChild(cpo);}());</script></body></html>`,
        {
          server: "cloudflare",
          "cf-mitigated": "challenge",
          "cf-ray": `${ray}-FRA`,
          "cache-control":
            "private, max-age=0, no-store, no-cache, must-revalidate, post-check=0, pre-check=0",
          expires: "Thu, 01 Jan 1970 00:00:01 GMT",
          "x-frame-options": "SAMEORIGIN",
          "referrer-policy": "same-origin",
        },
      );
    }
    case "http": {
      const status = Number(argument) || 500;
      const page = nginxPage(`http=${status}`, status, STATUS_CODES[status] ?? "", "nginx");
      return { ...page, headers: { ...page.headers, "content-type": "text/html;charset=UTF-8" } };
    }
    case "cf502":
      return edgeAnswer(
        name,
        502,
        '<!DOCTYPE html>\n<html class="no-js" lang="en-US"><head><title>kimi-ai.chat | 502: Bad gateway</title></head><body><div id="cf-wrapper"><h1><span>Bad gateway</span><span class="code-label">Error code 502</span></h1></div></body></html>',
        { server: "cloudflare", "cf-ray": `${hex(8)}-FRA` },
      );
    case "redirect":
      return edgeAnswer(name, 302, "", {
        location: argument || `${siteUrl}/wp-login.php?redirect_to=${encodeURIComponent(`${siteUrl}/chat/`)}`,
      });
    case "html200":
      return edgeAnswer(
        name,
        200,
        '<!DOCTYPE html>\n<html><head><title>Log In</title></head><body><form id="loginform">...</form></body></html>',
      );
  }
  if (where === "ajax") return undefined;
  switch (name) {
    case "empty":
      return edgeAnswer(name, 200, "");
    case "cut":
      return { ...edgeAnswer(name, 200, "<!DOCTYPE html><html><head><title>Chat</title>"), cut: true };
    case "kill":
      return phpDied;
    case "fatal":
      return pageFatal;
    case "notfound":
      return notFound(name);
  }
  return undefined;
}

const success = (message: unknown) => ({ success: true, data: { message } });

function longText(bytes: number): string {
  const lines: string[] = [];
  let length = 0;
  for (let number = 1; length < bytes - 40; number++) {
    const line = `Line ${String(number).padStart(6, "0")} of a long reply, plain text.\n`;
    lines.push(line);
    length += line.length;
  }
  return `${lines.join("").padEnd(bytes - 8, ".")}\nTHE END`;
}

/** The reply texts that a mode can ask for, as the site sends them. */
export const replyTexts = {
  cjk: "你好，世界。日本語テキスト。한국어 문장입니다。𠮷野家（二バイトでない漢字）。",
  emoji: "plain 😀 family 👨‍👩‍👧‍👦 flag 🇯🇵 skin 👍🏽 keycap 1️⃣ heart ❤️ rainbow 🏳️‍🌈 end",
  newlines: "line one\nline two\r\nline three\n\n\ttabbed\n  indented\n",
  markdown:
    '# Title\n\n```python\nprint("hi")\nif x:\n    pass\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n$$x^2$$',
  long: longText(102_400),
} as const;

const tooManyText = "Rate limit exceeded. Please wait a moment before sending another message.";

/** What the plugin answers when all its checks have passed. */
export function pluginAnswer(
  steps: readonly Step[],
  defaultText: () => string,
  tooLongText: string,
): SiteAnswer {
  let text: string | undefined;
  const good = () => phpJson(success(text ?? defaultText()));
  for (const { name, argument } of steps) {
    switch (name) {
      case "ok":
      case "slow":
      case "nonce_json":
      case "nonce_json403":
      case "nonce_real":
        break;
      case "error":
        return ajaxError(name, argument || "AI service is temporarily unavailable. Please try again.");
      case "error_status":
        return ajaxError(name, "AI service is temporarily unavailable.", Number(argument) || 500);
      case "too_long":
        return ajaxError(name, tooLongText);
      case "ratelimit200":
        return ajaxError(name, tooManyText);
      case "ratelimit":
        return ajaxJson(name, { success: false, data: "Too many requests" }, 429, {
          "retry-after": argument || "7",
        });
      case "error_json":
        return ajaxText(name, phpJson({ error: argument }));
      case "rest_nonce":
        return ajaxText(
          name,
          phpJson({
            code: "rest_cookie_invalid_nonce",
            message: "Cookie check failed",
            data: { status: 403 },
          }),
          403,
        );
      case "success_nodata":
        return ajaxJson(name, { success: true });
      case "data_empty_object":
        return ajaxJson(name, { success: true, data: {} });
      case "data_empty_array":
        return ajaxJson(name, { success: true, data: [] });
      case "message_null":
        return ajaxJson(name, success(null));
      case "message_empty":
        return ajaxJson(name, success(""));
      case "warning":
        return ajaxText(name, phpWarning + good());
      case "trailing_zero":
        return ajaxText(name, `${good()}0`);
      case "html_type":
        return ajaxText(name, good(), 200, { "content-type": "text/html; charset=UTF-8" });
      case "bom":
        return ajaxText(name, `\ufeff${good()}`);
      case "blank_lines":
        return ajaxText(name, `\n\r\n\t${good()}\n\n`);
      case "comment":
        return ajaxText(name, `${good()}\n<!-- Cached by a plugin -->`);
      case "data_string":
        return ajaxJson(name, { success: true, data: text ?? defaultText() });
      case "null":
        return ajaxText(name, "null");
      case "truncated_json":
        return ajaxText(name, good().slice(0, 30));
      case "empty":
        return ajaxText(name, "");
      case "zero":
        return ajaxDie(name, "0", 200);
      case "cut":
        return { ...ajaxText(name, good().slice(0, 30)), cut: true };
      case "kill":
        return phpDied;
      case "fatal":
        return ajaxFatal;
      case "long":
        text = argument === "" ? replyTexts.long : longText(Number(argument) || 0);
        break;
      case "cjk":
      case "emoji":
      case "newlines":
      case "markdown":
        text = replyTexts[name];
        break;
      case "text":
        text = argument;
        break;
      default:
        return ajaxError("unknown_mode", `simulator: no such mode: ${name}`);
    }
  }
  return ajaxText(modeText(steps), good());
}
