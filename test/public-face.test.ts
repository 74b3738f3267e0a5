/** What `import … from "kimi-ai-2api"` gives, and that all of it is explained. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as face from "../handler.ts";
import { reply, scriptedProvider } from "./fakes/scripted-provider.ts";
import { typeErrors } from "./support/type-check.ts";

const root = join(import.meta.dir, "..");
const read = (path: string) => readFileSync(join(root, path), "utf8");

/** `export { a, type B } from "./file.ts";` and `export type { C } from …`, as name and file. */
const exported = [...read("handler.ts").matchAll(/^export (type )?\{(.*?)\} from "\.\/(.*?)";/gms)].flatMap(
  ([, allTypes, names = "", file = ""]) =>
    names.split(",").flatMap((each) => {
      const [, isType, name] = /^\s*(type )?(\w+)\s*$/.exec(each) ?? [];
      return name === undefined ? [] : [{ name, file, isType: (allTypes ?? isType) !== undefined }];
    }),
);

describe("the package exports", () => {
  test("these values, and no internals", () => {
    expect(Object.keys(face).sort()).toEqual([
      "ApiError",
      "ConfigError",
      "Conversations",
      "anthropicMessages",
      "createHandler",
      "createLogger",
      "default",
      "denoKvStore",
      "durableObjectStore",
      "kimiWeb",
      "memoryStore",
      "netlifyBlobsStore",
      "ollama",
      "openAiChat",
      "openAiCompatible",
      "openAiCompletions",
      "openAiResponses",
      "pages",
      "parseConfig",
      "redisRestStore",
      "redisStore",
      "sqliteStore",
      "wordpressChat",
    ]);
  });

  test("these types, and all seams of core/types.ts", () => {
    const types = exported.filter(({ isType }) => isType).map(({ name }) => name);
    expect(types.sort()).toEqual([
      "Access",
      "ApiErrorOptions",
      "Config",
      "ConfigOptions",
      "DenoKv",
      "DenoKvStoreOptions",
      "DurableObjectNamespace",
      "DurableObjectState",
      "DurableObjectStoreOptions",
      "Environment",
      "ErrorCode",
      "FetchContext",
      "Handler",
      "HandlerOptions",
      "KimiWebOptions",
      "LogLevel",
      "LoggerOptions",
      "MemoryStoreOptions",
      "NamedKey",
      "NamedModel",
      "NetlifyBlobsStoreOptions",
      "OpenAiCompatibleOptions",
      "Page",
      "Pages",
      "PresetName",
      "PresetParts",
      "PromptLabels",
      "RedisConnection",
      "RedisRestStoreOptions",
      "RedisStoreOptions",
      "SiteModel",
      "SiteProtocol",
      "SiteSettings",
      "SqliteDatabase",
      "SqliteStatement",
      "SqliteStoreOptions",
      "StoreName",
      "StoreSettings",
      "UpstreamSettings",
      "WordpressChatOptions",
    ]);
    expect(
      [...read("handler.ts").matchAll(/^export type \* from "(.*?)";/gm)].map(([, file]) => file),
    ).toEqual(["./core/types.ts"]);
  });

  test("these paths", () => {
    const { exports } = JSON.parse(read("package.json"));
    expect(Object.keys(exports)).toEqual([".", "./single-file", "./adapters/*", "./package.json"]);
  });
});

/** The comment before an exported name's declaration. */
const commentOf = (name: string, file: string): string => {
  const declaration = `export (?:async function|function|const|class) ${name}\\b`;
  return new RegExp(`/\\*\\*((?:(?!\\*/).)*)\\*/\\n${declaration}`, "s").exec(read(file))?.[1] ?? "";
};

const examplesIn = (comment: string): string[] =>
  [...comment.matchAll(/@example\n \* ```ts\n(.*?) \* ```/gs)].map(([, lines = ""]) =>
    lines.replace(/^ \* ?/gm, ""),
  );

const values = exported.filter(({ isType }) => !isType);

describe("of what the package exports", () => {
  test("everything is looked at", () => {
    const names = values.map(({ name }) => name);
    expect([...names, "default"].sort()).toEqual(Object.keys(face).sort());
  });

  test.each(values)("$name says what it does, and shows it", ({ name, file }) => {
    const comment = commentOf(name, file);
    expect(comment.split("@example")[0]?.length).toBeGreaterThan(80);
    const examples = examplesIn(comment);
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) {
      expect(example).toMatch(new RegExp(`^import \\{[^}]*\\b${name}\\b[^}]*\\} from "kimi-ai-2api";`, "m"));
    }
  });

  test("every example is well-typed", () => {
    const files = values.flatMap(({ name, file }) =>
      examplesIn(commentOf(name, file)).map((code, at): [string, string] => [`${name}-${at}.ts`, code]),
    );
    expect(typeErrors({ files: Object.fromEntries(files) })).toBe("");
  });
});

describe("createHandler", () => {
  const ask = (headers: Record<string, string>) =>
    new Request("http://127.0.0.1/v1/models", { headers: { host: "127.0.0.1", ...headers } });

  test("needs no argument, and then answers as the site, for this machine alone", async () => {
    const handler = face.createHandler({ log: face.createLogger({ level: "silent" }) });
    const list = await (await handler.fetch(ask({}))).json();
    expect(list.data.map(({ id }: { id: string }) => id)).toEqual([
      "kimi-k2-instruct-0905",
      "kimi-k2-instruct",
    ]);
    expect((await handler.fetch(ask({ host: "gateway.example.com" }))).status).toBe(403);
    expect(handler.store.name).toBe("memory");
  });

  test("logs each request on the console by default, and what is doubtful about the settings", async () => {
    const written: string[] = [];
    const { log } = console;
    console.log = (line: string) => void written.push(line);
    try {
      await face.createHandler().fetch(ask({}));
      face.createHandler({ config: face.parseConfig({ API_KEY: "sk-secret" }) });
    } finally {
      console.log = log;
    }
    expect(written.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({ level: "info", event: "request.finished", route: "/models", status: 200 }),
      expect.objectContaining({
        level: "warn",
        event: "settings.questioned",
        reason: "API_KEY is no setting. Did you mean API_MASTER_KEY?",
      }),
    ]);
  });

  test("asks the first model of the providers that it is given, where a request names none", async () => {
    const provider = scriptedProvider({
      models: [{ id: "only", createdAt: 0 }],
      answer: ({ model }) => reply(`I am ${model}.`),
    });
    const handler = face.createHandler({
      providers: [provider],
      log: face.createLogger({ level: "silent" }),
    });
    const body = JSON.stringify({ messages: [{ role: "user", content: "Hi" }] });
    const answer = await handler.fetch(
      new Request("http://127.0.0.1/v1/chat/completions", { method: "POST", body }),
    );
    expect(await answer.json()).toMatchObject({
      model: "only",
      choices: [{ message: { content: "I am only." } }],
    });
  });
});
