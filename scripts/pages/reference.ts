/** The API reference as HTML, in both languages: whole without a script, which only adds what sends requests. */
import { errorTable } from "../../core/errors.ts";
import type { JsonObject } from "../../core/types.ts";
import type { Words } from "../../web/shared/language.ts";
import { documentedPath, errorsByStatus, jsonSchemaOf } from "./openapi.ts";
import { groups, type Operation } from "./operation.ts";
import { operations } from "./operations.ts";

const escaped = (text: string): string =>
  text.replace(
    /[&<>"]/g,
    (char) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[char] ?? char,
  );

/** Text with `code` in it. */
const inline = (text: string): string => escaped(text).replace(/`([^`]+)`/g, "<code>$1</code>");

const words = {
  title: ["API reference", "API 参考"],
  lead: [
    "Every route is served with and without `/v1`. Send the key as `Authorization: Bearer KEY` or `x-api-key: KEY`.",
    "每个路由都可带或不带 `/v1`。密钥用 `Authorization: Bearer KEY` 或 `x-api-key: KEY` 发送。",
  ],
  document: ["The same as an OpenAPI 3.1 document", "同一内容的 OpenAPI 3.1 文档"],
  noKey: ["no key", "无需密钥"],
  headers: ["Headers and parameters", "请求头与参数"],
  body: ["Body", "请求体"],
  answer: ["Answer", "响应"],
  errors: ["Errors", "错误"],
  required: ["required", "必填"],
  field: ["field", "字段"],
  type: ["type", "类型"],
  meaning: ["meaning", "含义"],
  status: ["status", "状态码"],
  code: ["code", "错误码"],
  when: ["when", "原因"],
} satisfies Record<string, Words>;

/** `string | array | null`, as people say it. */
function typeOf(schema: JsonObject): string {
  const {
    anyOf,
    type,
    const: only,
  } = schema as {
    anyOf?: readonly JsonObject[];
    type?: string | readonly string[];
    const?: unknown;
  };
  if (anyOf) return [...new Set(anyOf.map(typeOf))].join(" | ");
  if (only !== undefined) return JSON.stringify(only);
  return type === undefined ? "any" : [type].flat().join(" | ");
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  `<div class="table" tabindex="0"><table><thead><tr>${head.map((cell) => `<th>${cell}</th>`).join("")}</tr></thead><tbody>${rows
    .map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`)
    .join("")}</tbody></table></div>`;

const code = (text: string): string => `<code>${escaped(text)}</code>`;

function operationHtml(operation: Operation, at: 0 | 1): string {
  const say = (pair: Words): string => inline(pair[at]);
  const {
    method,
    path,
    id,
    summary,
    description,
    parameters = [],
    request,
    fields = {},
    success,
  } = operation;
  const parts = [`<p>${say(description)}</p>`];
  if (parameters.length > 0) {
    parts.push(
      `<h4>${say(words.headers)}</h4>`,
      table(
        [say(words.field), say(words.meaning)],
        parameters.map(({ name, what }) => [code(name), say(what)]),
      ),
    );
  }
  if (request) {
    const { properties, required = [] } = jsonSchemaOf(request) as {
      properties: Record<string, JsonObject>;
      required?: readonly string[];
    };
    parts.push(
      `<h4>${say(words.body)}</h4>`,
      table(
        [say(words.field), say(words.type), say(words.meaning)],
        Object.entries(properties).map(([name, schema]) => [
          code(name),
          escaped(typeOf(schema)) + (required.includes(name) ? `, ${say(words.required)}` : ""),
          fields[name] ? say(fields[name]) : "",
        ]),
      ),
    );
  }
  if (success) {
    const types = Object.keys(success.content ?? {});
    parts.push(`<h4>${say(words.answer)}</h4>`, `<p>${success.status} ${types.map(code).join(", ")}</p>`);
  }
  if (success?.headers) {
    parts.push(
      table(
        [say(words.field), say(words.meaning)],
        Object.entries(success.headers).map(([name, what]) => [code(name), say(what)]),
      ),
    );
  }
  const errors = [...errorsByStatus(operation)].flatMap(([status, codes]) =>
    codes.map((each) => [String(status), code(each), inline(errorTable[each].when)]),
  );
  if (errors.length > 0) {
    parts.push(
      `<details class="errors"><summary>${say(words.errors)}</summary>${table([say(words.status), say(words.code), say(words.when)], errors)}</details>`,
    );
  }
  return `<details class="operation" data-operation="${id}"><summary><b class="method ${method.toLowerCase()}">${method}</b> <code>${escaped(documentedPath(path))}</code> <span>${say(summary)}</span>${operation.isPublic ? ` <i>${say(words.noKey)}</i>` : ""}</summary><div class="inside">${parts.join("")}</div></details>`;
}

function article(language: string, at: 0 | 1): string {
  const say = (pair: Words): string => inline(pair[at]);
  const sections = Object.entries(groups).map(([group, title]) => {
    const own = operations.filter((operation) => operation.group === group);
    return `<h2>${say(title)}</h2>${own.map((operation) => operationHtml(operation, at)).join("")}`;
  });
  return `<article lang="${language}"${at === 1 ? " hidden" : ""}><h1>${say(words.title)}</h1><p class="lead">${say(words.lead)} <a href="openapi.json">${say(words.document)}</a></p>${sections.join("")}</article>`;
}

export const referenceBody = (): string =>
  `<main id="main" class="wide reference">${article("en", 0)}${article("zh-CN", 1)}</main>`;

/** What the page's script sends, by the operation's id. */
export const referenceExamples = (): JsonObject =>
  Object.fromEntries(
    operations.map(({ id, method, path, examples }) => [
      id,
      { method, path: documentedPath(path), examples },
    ]),
  );
