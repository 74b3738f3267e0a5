/**
 * What WordPress 6 does to a text before a plugin sees it: `sanitize_textarea_field`, `sanitize_text_field` and the
 * functions below them, checked against PHP 8.2 with random texts. One shortcut: of the named entities in an
 * unclosed `<…` only the most common are left alone, where WordPress has a list of some 250.
 */

const trimPattern = /^[ \t\n\r\0\v]+|[ \t\n\r\0\v]+$/g;
/** PHP's `trim`, which knows only the blanks of ASCII. */
export const phpTrim = (text: string): string => text.replace(trimPattern, "");

const entity =
  /&(?!(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|amp|lt|gt|quot|nbsp|copy|reg|euro|hellip|mdash|ndash|times|rarr|larr|bull);)/g;

/** WordPress's `esc_html`. */
function escapeHtml(text: string): string {
  return text
    .replace(entity, "&amp;")
    .replace(/&#0*([0-9]+);/g, (_, digits: string) => `&#${digits.padStart(3, "0")};`)
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#039;");
}

/** WordPress's `wp_pre_kses_less_than`: a `<` that no `>` closes is text, not a tag. */
function escapeUnclosed(text: string): string {
  return text.replace(/<[^>]*?(?:(?=<)|>|$)/g, (found) => (found.includes(">") ? found : escapeHtml(found)));
}

const isSpace = (character: string | undefined) =>
  character !== undefined && " \t\n\r\v\f".includes(character);

/** PHP's `strip_tags`, a state machine that minds quotes, comments and `<?`. */
export function stripTags(text: string): string {
  let kept = "";
  let state: "text" | "tag" | "php" | "declaration" | "comment" = "text";
  let depth = 0;
  let quote = "";
  let last = "";
  let parentheses = 0;
  let isXml = false;

  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    const before = text.charAt(at - 1);
    if (character === "\0") continue;

    if (state === "text") {
      if (character === "<" && !isSpace(text[at + 1])) {
        last = "<";
        state = "tag";
      } else if (character === ">" && depth > 0) depth--;
      else kept += character;
      continue;
    }

    if (character === "<" && state === "tag") {
      if (quote === "" && !isSpace(text[at + 1])) depth++;
      continue;
    }
    if (character === ">" && state !== "comment") {
      if (depth > 0) {
        depth--;
        continue;
      }
      if (quote !== "") continue;
      if (state === "tag") {
        last = ">";
        if (isXml && before === "-") continue;
        isXml = false;
        state = "text";
      } else if (state === "declaration") state = "text";
      else if (parentheses === 0 && last !== '"' && before === "?") state = "text";
      continue;
    }

    switch (state) {
      case "tag":
        if ((character === '"' || character === "'") && at > 0) {
          if (quote === "") quote = character;
          else if (quote === character) quote = "";
        } else if (character === "!" && last === "<" && before === "<") {
          state = "declaration";
          last = character;
        } else if (character === "?" && last === "<" && before === "<") {
          parentheses = 0;
          state = "php";
        }
        break;
      case "php":
        if (character === "(" && last !== '"' && last !== "'") {
          last = "(";
          parentheses++;
        } else if (character === ")" && last !== '"' && last !== "'") {
          last = ")";
          parentheses--;
        } else if ((character === '"' || character === "'") && before !== "\\") {
          if (last === character) last = "";
          else if (last !== "\\") last = character;
          if (quote === "") quote = character;
          else if (quote === character) quote = "";
        } else if (/[lL]/.test(character) && /^<\?xm$/i.test(text.slice(at - 4, at)) && at > 4) {
          state = "tag";
          isXml = true;
        }
        break;
      case "declaration":
        if ((character === '"' || character === "'") && before !== "\\") {
          if (quote === "") quote = character;
          else if (quote === character) quote = "";
        } else if (character === "-" && text.slice(at - 2, at) === "!-") state = "comment";
        else if (/[eE]/.test(character) && at > 6 && /^doctyp$/i.test(text.slice(at - 6, at))) state = "tag";
        break;
      case "comment":
        if (character === ">" && quote === "" && text.slice(at - 2, at) === "--") state = "text";
        break;
    }
  }
  return kept;
}

/** WordPress's `wp_strip_all_tags`. */
function stripAllTags(text: string): string {
  return phpTrim(stripTags(text.replace(/<(script|style)[^>]*?>[\s\S]*?<\/\1>/gi, "")));
}

function sanitize(text: string, keepLines: boolean): string {
  let kept = text;
  if (kept.includes("<")) kept = stripAllTags(escapeUnclosed(kept)).replaceAll("<\n", "&lt;\n");
  if (!keepLines) kept = kept.replace(/[\r\n\t ]+/g, " ");
  kept = phpTrim(kept);

  let hadOctets = false;
  for (let found = /%[a-f0-9]{2}/i.exec(kept); found; found = /%[a-f0-9]{2}/i.exec(kept)) {
    kept = kept.replaceAll(found[0], "");
    hadOctets = true;
  }
  return hadOctets ? phpTrim(kept.replace(/ +/g, " ")) : kept;
}

/** PHP's `addslashes`, which WordPress applies to everything that is posted. */
function addSlashes(text: string): string {
  return text.replace(/['"\\]/g, "\\$&").replaceAll("\0", "\\0");
}

/** `sanitize_text_field`: no tags, no `%20`-like octets, one line. */
export const sanitizeTextField = (text: string): string => sanitize(text, false);

/** `sanitize_textarea_field`: the same, lines kept. */
export const sanitizeTextareaField = (text: string): string => sanitize(text, true);

/** The message as a plugin gets it that sanitizes in the way of `how`. */
export function sanitizeMessage(
  message: string,
  how: "textarea" | "text" | "text_slashed" | "none" | (string & {}),
): string {
  switch (how) {
    case "text":
      return sanitizeTextField(message);
    case "text_slashed":
      return sanitizeTextField(addSlashes(message));
    case "none":
      return message;
    default:
      return sanitizeTextareaField(message);
  }
}
