/** docs/observability.md: its programs compile and work, and it names every metric and field that there is. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Span, type Tracer, trace } from "@opentelemetry/api";
import type { Handler } from "../../handler.ts";
import { failure, scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, testHandler } from "../support/test-handler.ts";
import { typeErrors } from "../support/type-check.ts";

const root = join(import.meta.dir, "../..");
const page = readFileSync(join(root, "docs/observability.md"), "utf8");

// Within the project, so that packages are found.
const folder = mkdtempSync(join(root, "node_modules/.docs-observability-"));
afterAll(() => rmSync(folder, { recursive: true }));
const programs = [...page.matchAll(/```ts (\S+)\n(.*?)```/gs)].map(([, name = "", code = ""]) => ({
  name,
  code,
}));

/** What of Sentry the page uses; its package is large. */
const sentry = `
  export declare function init(options: { dsn: string | undefined }): void;
  export declare function captureException(
    error: unknown,
    hint: { tags: { [name: string]: string | number | boolean | null | undefined } },
  ): string;
`;

test("its programs are well-typed", () => {
  const files = Object.fromEntries(programs.map(({ name, code }) => [name, code]));
  expect(typeErrors({ files, declarations: `declare module "@sentry/node" {${sentry}}` })).toBe("");
  expect(Object.keys(files)).toEqual(["sentry.ts", "opentelemetry.ts"]);
});

test("its OpenTelemetry program makes a span of each request", async () => {
  const spans: unknown[] = [];
  const tracer: Pick<Tracer, "startSpan"> = {
    startSpan(name, options) {
      const span = { name, ...options, status: undefined as unknown, endTime: undefined as unknown };
      spans.push(span);
      return {
        setStatus: (status: unknown) => Object.assign(span, { status }),
        end: (endTime: unknown) => Object.assign(span, { endTime }),
      } as unknown as Span;
    },
  };
  trace.setGlobalTracerProvider({ getTracer: () => tracer as Tracer });
  const { code = "" } = programs.find(({ name }) => name === "opentelemetry.ts") ?? {};
  const file = join(folder, "running.ts");
  writeFileSync(
    file,
    code
      .replace('"kimi-ai-2api"', JSON.stringify(join(root, "handler.ts")))
      .replace("parseConfig(process.env)", 'parseConfig({ LOG_LEVEL: "silent" })'),
  );
  const { handler }: { handler: Handler } = await import(file);
  await handler.fetch(new Request("http://127.0.0.1:8088/health"));
  await handler.fetch(new Request("http://127.0.0.1:8088/v1/nothing"));
  trace.disable();
  expect(spans).toMatchObject([
    {
      name: "GET /health",
      attributes: { "http.response.status_code": 200 },
      status: undefined,
      startTime: expect.any(Number),
      endTime: expect.any(Number),
    },
    { name: "GET none", attributes: { "http.response.status_code": 404, "error.type": "not_found" } },
  ]);
});

test("it names every metric and every field of the log", async () => {
  let calls = 0;
  const provider = scriptedProvider({ answer: () => failure(new Error(`failure ${++calls}`)) });
  const { send, chat, records } = testHandler({}, { providers: [{ ...provider, maxConcurrency: 1 }] });
  await chat(hello, { headers: { "x-session-id": "s" } });
  const metrics = await (await send("/metrics")).text();
  const names = [...metrics.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
  expect(names.filter((name) => !page.includes(`| \`${name}\``))).toEqual([]);
  expect(names.length).toBe([...page.matchAll(/^\| `kimi_/gm)].length);
  expect(Object.keys(records[0] ?? {}).filter((field) => !page.includes(`\`${field}\``))).toEqual([]);
});
