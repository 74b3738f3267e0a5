/** How PHP reads a request. */

const loggedHeaders = [
  "user-agent",
  "accept",
  "accept-language",
  "accept-encoding",
  "origin",
  "referer",
  "x-requested-with",
  "cookie",
  "cache-control",
  "pragma",
  "if-none-match",
  "if-modified-since",
  "content-type",
];

/** PHP's post_max_size. */
const maxFormBytes = 8 * 1024 * 1024;

/** Like PHP's, it leaves alone what is no escape; unlike PHP's, all of the text then. */
function urlDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The cookies of a request, as `$_COOKIE` has them. */
export function cookiesOf(request: Request): ReadonlyMap<string, string> {
  const cookies = new Map<string, string>();
  for (const pair of request.headers.get("cookie")?.split(";") ?? []) {
    const at = pair.indexOf("=");
    if (at > 0) cookies.set(pair.slice(0, at).trim(), urlDecode(pair.slice(at + 1).trim()));
  }
  return cookies;
}

/** The headers that the log keeps. */
export function headersOf(request: Request): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of loggedHeaders) {
    const value = request.headers.get(name);
    if (value !== null) found[name] = value;
  }
  return found;
}

/** PHP's form parser: a body of any other type is no form. */
export async function formOf(
  request: Request,
): Promise<{ fields: ReadonlyMap<string, string>; raw: string }> {
  const type = request.headers.get("content-type") ?? "";
  if (type.startsWith("multipart/form-data")) {
    const form = await request.formData();
    return {
      fields: new Map([...form].flatMap(([key, value]) => (typeof value === "string" ? [[key, value]] : []))),
      raw: "",
    };
  }
  const raw = await request.text();
  if (!type.startsWith("application/x-www-form-urlencoded") || raw.length > maxFormBytes) {
    return { fields: new Map(), raw: "" };
  }
  return { fields: new Map(new URLSearchParams(raw)), raw };
}

/** Whether `message` was posted as bytes that are not UTF-8: WordPress then drops all of it. */
export function isBrokenUtf8(message: string, raw: string): boolean {
  if (!message.includes("\ufffd")) return false;
  const field = /(?:^|&)message=([^&]*)/.exec(raw)?.[1] ?? "";
  const bytes = Buffer.from(
    field.replace(/%([0-9a-f]{2})|[^%]/gi, (found, octet?: string) =>
      octet === undefined ? Buffer.from(found).toString("latin1") : String.fromCharCode(parseInt(octet, 16)),
    ),
    "latin1",
  );
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return false;
  } catch {
    return true;
  }
}
