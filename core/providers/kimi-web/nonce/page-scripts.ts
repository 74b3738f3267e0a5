/**
 * Finds the scripts of an HTML page as a browser does: not those within comments, attributes or other elements' text.
 * Linear in the page's length, whatever the page says.
 */

/** JavaScript between two places of a text. */
export interface PageScript {
  readonly source: string;
  readonly start: number;
  readonly end: number;
}

/** Elements whose content is mere text to a browser that runs scripts, or (template) never runs. */
const rawTextEnds = new Map(
  [
    "script",
    "style",
    "textarea",
    "title",
    "noscript",
    "template",
    "iframe",
    "xmp",
    "noembed",
    "noframes",
  ].map((name) => [name, new RegExp(`</${name}(?=[\\s/>])`, "gi")]),
);
const markup = /<(?:(!--)|(\/?)([a-z][^\s/>]*)|[!?/])/gi;
/** The closing quotes are optional because one that is missing means "to the end of the page", as in a browser. */
const attribute = /[\s/]*([^\s/>][^\s/>=]*)(?:\s*=\s*(?:"([^"]*)"?|'([^']*)'?|([^\s>]+)))?/y;
const tagEnd = />/g;
const commentEnd = /--!?>/g;
/** Script types that hold data. All others count: whoever delays a script invents a type for it. */
const dataType = /json|html|te?mpl|handlebars|importmap|rules/i;

function find(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  return pattern.exec(text)?.index ?? text.length;
}

/** Where the script that is open at `from` ends. */
export function scriptEnd(html: string, from: number): number {
  return find(rawTextEnds.get("script") as RegExp, html, from);
}

/** All scripts in the order of the page, those that an optimiser delays or has moved into a `data:` URI included. */
export function* pageScripts(html: string): Iterable<PageScript> {
  for (let at = 0; ; ) {
    markup.lastIndex = at;
    const opening = markup.exec(html);
    if (opening === null) return;
    at = markup.lastIndex;
    const [, comment, slash, tag] = opening;
    if (tag === undefined) {
      // "<!-->" is a whole comment; "<!", "<?" and "</" before anything else are comments up to the next ">".
      at = comment === undefined ? find(tagEnd, html, at) : find(commentEnd, html, at - "--".length);
      continue;
    }
    const name = tag.toLowerCase();
    const attributes = new Map<string, string>();
    attribute.lastIndex = at;
    for (let match = attribute.exec(html); match !== null; match = attribute.exec(html)) {
      at = attribute.lastIndex;
      if (name === "script")
        attributes.set((match[1] ?? "").toLowerCase(), match[2] ?? match[3] ?? match[4] ?? "");
    }
    at = find(tagEnd, html, at) + 1;

    const rawTextEnd = slash === "" ? rawTextEnds.get(name) : undefined;
    if (rawTextEnd === undefined) continue;
    const end = find(rawTextEnd, html, at);
    if (name === "script" && !dataType.test(attributes.get("type") ?? "")) {
      for (const value of attributes.values()) {
        const source = decodeDataUri(value);
        if (source !== undefined) yield { source, start: 0, end: source.length };
      }
      if (!attributes.has("src")) yield { source: html, start: at, end };
    }
    at = end;
  }
}

/** What a `data:` URI in an attribute holds; bytes beyond ASCII as Latin-1, since nothing that matters has any. */
function decodeDataUri(value: string): string | undefined {
  const uri = decodeEntities(value);
  const [head, type = ""] = /^\s*data:([^,]*),/i.exec(uri) ?? [];
  if (head === undefined) return undefined;
  const decoded = uri.slice(head.length).replace(/%([0-9a-f]{2})/gi, (_, hex: string) => character(hex, 16));
  if (!/;\s*base64\s*$/i.test(type)) return decoded;
  try {
    return atob(decoded);
  } catch {
    return undefined;
  }
}

const namedEntities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function decodeEntities(text: string): string {
  return text.replace(
    /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(amp|lt|gt|quot|apos));?/gi,
    (entity, decimal, hex, name) => {
      if (name !== undefined) return namedEntities[name.toLowerCase()] ?? entity;
      return decimal === undefined ? character(hex, 16) : character(decimal, 10);
    },
  );
}

function character(digits: string, radix: number): string {
  const codePoint = Number.parseInt(digits, radix);
  return codePoint > 0x10ffff ? "\ufffd" : String.fromCodePoint(codePoint);
}
