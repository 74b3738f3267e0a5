/** The API's document: as complete as the router, valid, and true of what is answered. */
import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import * as v from "valibot";
import { pages } from "../../handler.ts";
import { documentedPath, jsonSchemaOf, openApiDocument } from "../../scripts/pages/openapi.ts";
import { operations } from "../../scripts/pages/operations.ts";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { testHandler } from "../support/test-handler.ts";
import { watchedAnswers } from "../support/watch-answers.ts";

const root = join(import.meta.dir, "../..");

// biome-ignore lint/suspicious/noExplicitAny: a document is looked into at many depths
const document = openApiDocument() as any;
const ajv = new Ajv2020({ strict: false });
ajv.addSchema(document, "document");

/** `GET /models/{id}` of each route that the router itself names. */
const knownRoutes = async (): Promise<string[]> => {
  const { error } = await (await testHandler().send("/no-such-route")).json();
  return error.message.match(/(GET|POST|DELETE) \/[^\s,.]*/g);
};

describe("the document", () => {
  test("has every route of the router, and no other", async () => {
    const documented = operations.map(({ method, path }) => `${method} ${documentedPath(path)}`);
    expect(documented.sort()).toEqual((await knownRoutes()).sort());
    const inDocument = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods as object).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(inDocument.sort()).toEqual(documented);
  });

  test("is what /openapi.json and /v1/openapi.json answer", async () => {
    const { send } = testHandler({ API_MASTER_KEY: "sk-secret" }, { pages });
    for (const path of ["/openapi.json", "/v1/openapi.json"]) {
      const response = await send(path);
      expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
      expect(await response.json()).toEqual(JSON.parse(JSON.stringify(document)));
    }
    const redoc = await send("/redoc");
    expect([redoc.status, redoc.headers.get("location")]).toEqual([302, "docs"]);
  });

  test("keeps to OpenAPI 3.1, as @redocly/cli sees it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "kimi-ai-2api-openapi-"));
    await Bun.write(join(folder, "openapi.json"), JSON.stringify(document));
    const config =
      "extends: [recommended]\nrules: { operation-2xx-response: off, operation-4xx-response: off, no-server-example.com: off }\n";
    await Bun.write(join(folder, "redocly.yaml"), config);
    const child = Bun.spawn(
      [
        "node",
        join(root, "node_modules/@redocly/cli/bin/cli.js"),
        "lint",
        "openapi.json",
        "--config",
        "redocly.yaml",
      ],
      {
        cwd: folder,
        env: {
          PATH: process.env.PATH,
          HOME: folder,
          REDOCLY_TELEMETRY: "off",
          REDOCLY_SUPPRESS_UPDATE_NOTICE: "true",
        },
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    const output = (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
    await rm(folder, { recursive: true });
    expect(output).toContain("Your API description is valid");
    expect(await child.exited).toBe(0);
  });
});

describe.each(operations)("$method $path", (operation) => {
  const { method, path, examples, success, request } = operation;
  const at = document.paths[documentedPath(path)][method.toLowerCase()];

  test.each(examples)("answers the example %#", async ({ headers = {}, body, path: given = {}, needs }) => {
    const ids = ["kimi-k2-instruct-0905"];
    const provider = scriptedProvider({ models: ids.map((id) => ({ id, createdAt: 1_700_000_000 })) });
    const { send } = testHandler({}, { providers: [provider] });
    const maker = operations.find(({ id }) => id === needs);
    const made =
      maker &&
      (await send(maker.path, { method: maker.method, body: JSON.stringify(maker.examples[0]?.body) }));
    const values = made ? await made.json() : given;
    const target = documentedPath(path).replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
    const before = watchedAnswers(operation.id);
    const response = await send(`/v1${target}`, {
      method,
      headers,
      ...(body && { body: JSON.stringify(body) }),
    });
    expect(response.status).toBe(success?.status as number);
    await response.text();
    // Type and shape were held against the document on the way here.
    expect(watchedAnswers(operation.id)).toBeGreaterThan(before);
  });

  if (request) {
    test("fails in the shape that is documented", async () => {
      const response = await testHandler().send(path, { method, body: "{" });
      expect(response.status).toBe(400);
      await response.text();
    });
  }

  if (request) {
    test("documents the body as it is checked", () => {
      const documented = ajv.compile(at.requestBody.content["application/json"].schema);
      const message = (content: unknown) => ({ messages: [{ role: "user", content }], prompt: content });
      const samples = [
        ...examples.map(({ body }) => body),
        {},
        { messages: [] },
        { messages: "Hi" },
        message("Hi"),
        message(1),
        message(null),
        message([{ type: "text", text: "Hi" }]),
        { ...message("Hi"), stop: ["a"], stream: null },
        { ...message("Hi"), stop: 1 },
        { ...message("Hi"), n: 1.5 },
        { ...message("Hi"), max_tokens: 1.5 },
        { ...message("Hi"), tool_choice: "auto" },
        { ...message("Hi"), tools: {} },
        { ...message("Hi"), model: 1 },
      ];
      for (const sample of samples) expect(documented(sample)).toBe(v.is(request, sample));
    });
  }
});

test("a schema that depends on its input is documented as all that it may be", () => {
  const schema = v.lazy((input) => (Array.isArray(input) ? v.array(v.number()) : v.string()));
  expect(jsonSchemaOf(schema)).toEqual({
    anyOf: [{ type: "string" }, { type: "array", items: { type: "number" } }],
  });
});
