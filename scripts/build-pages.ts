/**
 * Makes the pages for people, from web/ into one file, web/pages.generated.ts, which is committed: the platforms that
 * deploy from sources run no build.
 *
 *     npm run pages
 */
import { join } from "node:path";
import type { Page } from "../core/http/pages.ts";
import { securityHeaders } from "../core/http/router.ts";
import { ownRoutes } from "../core/operations/recent-requests.ts";
import { openApiDocument } from "./pages/openapi.ts";
import { referenceBody, referenceExamples } from "./pages/reference.ts";

const root = join(import.meta.dir, "..");
const generated = join(root, "web/pages.generated.ts");

/** One module with all that it imports, minified. */
async function bundled(path: string, define: Readonly<Record<string, string>> = {}): Promise<string> {
  const { outputs } = await Bun.build({
    entrypoints: [join(root, path)],
    target: "browser",
    minify: true,
    define,
  });
  const [output] = outputs;
  if (output === undefined) throw new Error(`${path} came to nothing`);
  return (await output.text()).trim();
}

/** Without comments and indents. Bun's own bundler would rewrite light-dark() for browsers that lack it, past the switch. */
async function styleSheet(path: string): Promise<string> {
  const text = await Bun.file(join(root, path)).text();
  return text
    .replace(/\/\*.*?\*\//gs, "")
    .replace(/\s*\n\s*/g, "\n")
    .trim();
}

const hash = (text: string): string => new Bun.CryptoHasher("sha256").update(text).digest("base64");

/** Whatever the hashes do not name is refused, and so is every text that would become HTML or script. */
const policy = (hashes: { readonly script?: string; readonly style: string }): string =>
  [
    "default-src 'none'",
    ...(hashes.script === undefined ? [] : [`script-src 'sha256-${hashes.script}'`, "connect-src 'self'"]),
    `style-src 'sha256-${hashes.style}'`,
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");

export interface BuiltPage {
  readonly paths: Page["paths"];
  readonly contentType: string;
  readonly contentSecurityPolicy: string;
  readonly text: string;
}

const html = "text/html; charset=utf-8";

interface PageSource {
  readonly paths: Page["paths"];
  readonly title: string;
  readonly description: string;
  readonly body: string;
  /** The module that runs in it; "" for none. */
  readonly script: string;
  /** What names in it stand for. */
  readonly define?: Readonly<Record<string, string>>;
}

/** A template's comments and words in capitals, replaced by what they name. */
const fill = (template: string, values: Readonly<Record<string, string>>): string =>
  template.replace(
    /<!-- (\w+) -->|\b(TITLE|DESCRIPTION)\b/g,
    (found, comment?: string, word?: string) => values[comment ?? word ?? ""] ?? found,
  );

async function htmlPage({ paths, title, description, body, script, define }: PageSource): Promise<BuiltPage> {
  const template = await Bun.file(join(root, "web/page.html")).text();
  const style = await styleSheet("web/style.css");
  const code = script && (await bundled(script, define)).replaceAll("</script", "<\\/script");
  const text = fill(template, {
    TITLE: title,
    DESCRIPTION: description,
    style: `<style>${style}</style>`,
    body,
    script: code && `<script type="module">${code}</script>`,
  });
  return {
    paths,
    contentType: html,
    contentSecurityPolicy: policy({ style: hash(style), ...(code && { script: hash(code) }) }),
    text,
  };
}

const needsScript = `<noscript><p>This page needs JavaScript. The API does not: <a href="docs">its reference</a>.
这个页面需要 JavaScript；<a href="docs">API 文档</a>不需要。</p></noscript>`;

/** All pages. */
export async function buildPages(): Promise<BuiltPage[]> {
  return [
    await htmlPage({
      paths: ["/", "/ui"],
      title: "kimi-ai-2api",
      description: "Chat, and how to connect applications",
      body: `<main id="main">${needsScript}</main>`,
      script: "web/main.ts",
    }),
    await htmlPage({
      paths: ["/docs"],
      title: "kimi-ai-2api · API",
      description: "The routes of the API",
      body: referenceBody(),
      script: "web/reference/main.ts",
      define: { OPERATIONS: JSON.stringify(referenceExamples()) },
    }),
    await htmlPage({
      paths: ["/dashboard"],
      title: "kimi-ai-2api · Dashboard",
      description: "How the server is",
      body: `<main id="main" class="wide">${needsScript}</main>`,
      script: "web/dashboard/main.ts",
      define: { OWN_ROUTES: JSON.stringify(ownRoutes) },
    }),
    {
      paths: ["/openapi.json"],
      contentType: "application/json; charset=utf-8",
      contentSecurityPolicy: securityHeaders["content-security-policy"],
      text: JSON.stringify(openApiDocument()),
    },
  ];
}

/** What dist/handler.js has in place of the pages: where everything is, without a script. */
export async function buildSmallPages(): Promise<BuiltPage[]> {
  const style = await styleSheet("web/small.css");
  const text = fill(await Bun.file(join(root, "web/small.html")).text(), {
    style: `<style>${style}</style>`,
  });
  return [
    {
      paths: ["/", "/ui"],
      contentType: html,
      contentSecurityPolicy: policy({ style: hash(style) }),
      text,
    },
  ];
}

const asPage = ({ text, ...rest }: BuiltPage): Page => ({
  ...rest,
  etag: hash(text).slice(0, 16),
  gzip: Buffer.from(Bun.gzipSync(text, { level: 9 })).toString("base64"),
});

const source = (pages: readonly BuiltPage[]): string => `/* Made by \`npm run pages\` from web/. */
import type { Pages } from "../core/http/pages.ts";

/**
 * The pages for people, ready to be handed to \`createHandler\`: chat and instructions at \`/\` and
 * \`/ui\`, the API reference at \`/docs\` and as \`/openapi.json\`, and
 * \`/dashboard\`. They load
 * nothing from elsewhere and hold no secret; PAGES=off turns them off.
 *
 * @example
 * \`\`\`ts
 * import { createHandler, pages } from "kimi-ai-2api";
 *
 * const handler = createHandler({ pages });
 * \`\`\`
 */
export const pages: Pages = ${JSON.stringify(pages.map(asPage), null, 2)};
`;

/** The text of the module that a build has in place of web/pages.generated.ts. */
export const smallPagesModule = async (): Promise<string> => source(await buildSmallPages());

if (import.meta.main) {
  const pages = await buildPages();
  await Bun.write(generated, source(pages));
  await Bun.$`${join(root, "node_modules/.bin/biome")} format --write ${generated}`.quiet();
  for (const { paths, text } of pages) {
    const bytes = Bun.gzipSync(text, { level: 9 }).length;
    console.log(`${paths.join(", ").padEnd(24)}${(bytes / 1024).toFixed(1)} KB gzipped`);
  }
}
