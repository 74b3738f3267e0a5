/**
 * Writes the tables of README.md and docs/ from what they describe, and the repository's address from package.json, between `<!-- NAME -->` and `<!-- /NAME -->`:
 *
 *     npm run docs
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { errorTable } from "../core/errors.ts";
import {
  callFaults,
  type Fault,
  pageFaults,
  siteFaults,
  upstreamFaults,
} from "../test/e2e/faults/fault-table.ts";
import { type Recipe, recipes } from "../web/connect/recipes.ts";
import { measured } from "./scale/measured.ts";
import { holdsRows, keptRows, measuredWhere, millionRows, timeRows, turnRows } from "./scale/tables.ts";

export interface DocumentedSetting {
  readonly group: string;
  readonly name: string;
  /** "" where it is not set by default. */
  readonly defaultValue: string;
  readonly meaning: string;
}

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string) => readFileSync(root + path, "utf8");

/** What .env.example says: `## Group`, `# meaning` and `#NAME=default`, in that order. */
export function documentedSettings(example = read(".env.example")): DocumentedSetting[] {
  const settings: DocumentedSetting[] = [];
  let group = "";
  let meaning: string[] = [];
  for (const line of example.split("\n")) {
    const [, name, defaultValue] = /^#([A-Z_0-9]+)=(.*)$/.exec(line) ?? [];
    if (name !== undefined && defaultValue !== undefined) {
      settings.push({ group, name, defaultValue, meaning: meaning.join(" ") });
    } else if (line.startsWith("## ")) group = line.slice(3);
    else if (line.startsWith("# ")) {
      meaning.push(line.slice(2));
      continue;
    }
    meaning = [];
  }
  return settings;
}

const padded = (text: string, width: number, filler = " ") =>
  text + filler.repeat(width - Bun.stringWidth(text));

/** Aligned as the formatter wants it. */
function table(head: readonly string[], body: readonly (readonly string[])[]): string {
  const rows = [head, ...body].map((cells) => cells.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = head.map((_, at) => Math.max(...rows.map((cells) => Bun.stringWidth(cells[at] ?? ""))));
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const [first = "", ...rest] = rows.map((cells) =>
    line(cells.map((cell, at) => padded(cell, widths[at] ?? 0))),
  );
  return [first, line(widths.map((width) => padded("", width, "-"))), ...rest].join("\n");
}

const code = (text: string) => (text === "" ? "" : `\`${text}\``);

const retryWords = { undefined: "", false: "false", "with-retry-after": "false without Retry-After" };

const errorRows = Object.entries(errorTable).map(([name, row]) => ({
  ...row,
  code: code(name),
  status: String(row.status),
  shouldRetry: retryWords[`${row.retry}`],
}));

const errorGuideTable = (): string =>
  table(
    ["code", "status", "when", "x-should-retry", "Retry-After", "after commit", "what an operator can do"],
    errorRows.map(({ code, status, when, shouldRetry, retryAfter = "", inStream, operator }) => {
      return [code, status, when, shouldRetry, retryAfter, inStream ? "error event" : "", operator];
    }),
  );

const nightTable = (): string =>
  table(
    ["code", "when", "wake up?", "what to do"],
    errorRows.flatMap(({ code, when, wakeUp, operator }) =>
      wakeUp === undefined ? [] : [[code, when, wakeUp === "no" ? wakeUp : `**${wakeUp}**`, operator]],
    ),
  );

type FaultRow = Pick<Fault, "what" | "code" | "shouldRetry" | "retryAfter"> & {
  readonly shown?: { readonly status?: number; readonly code: string };
};

const faultTable = (what: string, faults: readonly FaultRow[]): string =>
  table(
    [what, "code", "status", "x-should-retry", "Retry-After"],
    faults.map((fault) => [
      fault.what,
      code(fault.shown?.code ?? fault.code),
      String(fault.shown?.status ?? errorTable[fault.code].status),
      fault.shouldRetry === false ? "false" : "",
      String(fault.retryAfter ?? ""),
    ]),
  );

/** What docs/clients/ shows of one: the same as the Connect tab, for a server on this machine. */
const clientSnippets = (recipe: Recipe, language: 0 | 1): string => {
  const snippets = recipe.snippets({
    address: "http://127.0.0.1:8088",
    key: "YOUR_API_KEY",
    model: "kimi-k2-instruct-0905",
    hasKey: false,
  });
  const colon = [":", "："][language];
  return `\n${snippets
    .map(
      ({ where, language: name, code: text }) =>
        `${where[language]}${colon}\n\n\`\`\`${name}\n${text}\n\`\`\`\n`,
    )
    .join("\n")}`;
};

const clientsInChinese = (): string =>
  `\n${recipes
    .map((recipe) => {
      const notes = (recipe.notes ?? []).map((note) => `\n${note[1]}\n`).join("");
      return `## ${recipe.name}\n${notes}${clientSnippets(recipe, 1)}`;
    })
    .join("\n")}`;

/** Where the project is published; set in package.json alone. */
const { repository }: { readonly repository: string } = JSON.parse(read("package.json"));

const clone = (): string => `\`\`\`sh\ngit clone ${repository} && cd ${repository.split("/").at(-1)}\n\`\`\``;

const button = (platform: string, image: string, address: string): string =>
  `\n[![${platform}](${image})](${address})\n`;

const keyDescription = encodeURIComponent("The key that clients send: choose a long one");

const buttons: Readonly<Record<string, () => string>> = {
  "deploy-vercel": () =>
    button(
      "Deploy with Vercel",
      "https://vercel.com/button",
      `https://vercel.com/new/clone?repository-url=${encodeURIComponent(repository)}&env=API_MASTER_KEY&envDescription=${keyDescription}`,
    ),
  "deploy-netlify": () =>
    button(
      "Deploy to Netlify",
      "https://www.netlify.com/img/deploy/button.svg",
      `https://app.netlify.com/start/deploy?repository=${repository}`,
    ),
  "deploy-workers": () =>
    button(
      "Deploy to Cloudflare",
      "https://deploy.workers.cloudflare.com/button",
      `https://deploy.workers.cloudflare.com/?url=${repository}`,
    ),
  "deploy-deno": () =>
    button("Deploy on Deno", "https://deno.com/button", `https://console.deno.com/new?clone=${repository}`),
};

const blocks: Readonly<Record<string, () => string>> = {
  ...buttons,
  clone,
  ...Object.fromEntries(
    recipes.map((recipe) => [`client-${recipe.id}`, () => clientSnippets(recipe, 0)] as const),
  ),
  "clients-zh": clientsInChinese,
  "error-guide": errorGuideTable,
  night: nightTable,
  "call-faults": () => faultTable("the site answers a message with", callFaults),
  "page-faults": () => faultTable("the chat page's fetch ends in", pageFaults),
  "site-faults": () => faultTable("the whole site", Object.values(siteFaults)),
  "upstream-faults": () => faultTable("the upstream answers with", upstreamFaults),
  "scale-where": () => measuredWhere(measured()),
  "scale-turn": () =>
    table(["store", "asked in a turn", "bytes of the typical conversation"], turnRows(measured())),
  "scale-time": () => table(["", "measured"], timeRows(measured())),
  "scale-holds": () =>
    table(
      ["", "typical conversations", "turns a second", "streams at once", "what breaks first"],
      holdsRows(measured()),
    ),
  "scale-million": () => table(["", "what is used", "what it costs"], millionRows(measured())),
  "scale-kept": () => table(["kept in Redis", "at a time", "bytes"], keptRows(measured())),
};

/** The text of a document with its tables as they should be. */
export function withTables(text: string): string {
  let result = text;
  for (const [name, render] of Object.entries(blocks)) {
    const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [start, end] = [result.indexOf(open), result.indexOf(close)];
    if (start < 0 || end < start) continue;
    result = `${result.slice(0, start)}${open}\n${render()}\n${result.slice(end)}`;
  }
  return result;
}

/** The documents that may have tables, by their path from the root. */
export const documents = (): string[] => [
  "README.md",
  "README.zh-CN.md",
  ...readdirSync(`${root}docs`, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md"))
    .map((path) => `docs/${path}`),
];

if (import.meta.main) {
  for (const path of documents()) {
    const [before, after] = [read(path), withTables(read(path))];
    if (before === after) continue;
    writeFileSync(root + path, after);
    console.log(`${path} written`);
  }
}
