/** The API as an OpenAPI 3.1 document: https://spec.openapis.org/oas/v3.1.0 */
import { type JsonSchema as Converted, toJsonSchema } from "@valibot/to-json-schema";
import type * as v from "valibot";
import { version } from "../../core/config/version.ts";
import { type ErrorCode, errorTable } from "../../core/errors.ts";
import type { JsonObject } from "../../core/types.ts";
import { errorSchemas, groups, type Operation, ref, schemas } from "./operation.ts";
import { operations } from "./operations.ts";

/** One value of each kind that JSON has: what a lazy schema makes of them is all that it can be. */
const samples: readonly unknown[] = ["", [], {}, 0, true];

/** A valibot schema as JSON Schema. A schema that depends on its input becomes a choice of what it may be. */
export function jsonSchemaOf(schema: v.GenericSchema): JsonObject {
  const converted: JsonObject = toJsonSchema(schema, {
    target: "draft-2020-12",
    typeMode: "output",
    errorMode: "throw",
    overrideSchema({ valibotSchema }) {
      if (valibotSchema.type !== "lazy") return undefined;
      const { getter } = valibotSchema as v.LazySchema<v.GenericSchema>;
      const possible = samples.map((sample) => JSON.stringify(jsonSchemaOf(getter(sample))));
      return { anyOf: [...new Set(possible)].map((each) => JSON.parse(each) as Converted) };
    },
  }) as JsonObject;
  // Lazy schemas leave definitions behind, to which nothing refers.
  const { $schema: _, $defs: __, ...rest } = converted;
  return rest;
}

/** `/models/:id+` → `/models/{id}`, as OpenAPI writes it. */
export const documentedPath = (path: string): string => path.replace(/:(\w+)\+?/g, "{$1}");

/** Content types that have one event after the other. */
const streams: ReadonlySet<string> = new Set(["text/event-stream", "application/x-ndjson"]);

const keyErrors: readonly ErrorCode[] = [
  "missing_api_key",
  "invalid_api_key",
  "api_key_expired",
  "forbidden_origin",
  "api_key_not_configured",
];

/** The codes of an operation's failures, by status. */
export function errorsByStatus({ errors, isPublic }: Operation): Map<number, ErrorCode[]> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of [...(isPublic ? [] : keyErrors), ...errors, "internal_error" as const]) {
    const { status } = errorTable[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return new Map([...byStatus].sort(([one], [other]) => one - other));
}

const passedOn =
  "What an OpenAI-compatible upstream said: its refusal of the request, with its own status, code and message.";

const withMeanings = (schema: JsonObject, fields: Operation["fields"] = {}): JsonObject => ({
  ...schema,
  properties: Object.fromEntries(
    Object.entries(schema.properties as Record<string, JsonObject>).map(([name, field]) => [
      name,
      { ...field, ...(fields[name] && { description: fields[name][0] }) },
    ]),
  ),
});

const successObject = ({ headers, content }: NonNullable<Operation["success"]>): JsonObject => ({
  description: "Success",
  ...(headers && {
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, what]) => [
        name,
        { description: what[0], schema: { type: "string" } },
      ]),
    ),
  }),
  ...(content && {
    content: Object.fromEntries(
      Object.entries(content).map(([type, schema]) => [
        type,
        // OpenAPI 3.2 will say it by `itemSchema`.
        streams.has(type) ? { schema: { type: "string" }, "x-item-schema": schema } : { schema },
      ]),
    ),
  }),
});

function operationObject(operation: Operation): JsonObject {
  const { id, group, summary, description, parameters = [], request, fields, success, examples } = operation;
  const bodies = examples.flatMap(({ name, body }) =>
    body === undefined ? [] : [[name[0], { value: body }] as const],
  );
  const failure = { "application/json": { schema: errorSchemas[group] ?? ref("Error") } };
  return {
    operationId: id,
    tags: [groups[group][0]],
    summary: summary[0],
    description: description[0],
    ...(operation.isPublic && { security: [] }),
    ...(parameters.length > 0 && {
      parameters: parameters.map(({ name, in: place, what }) => ({
        name,
        in: place,
        required: place === "path",
        description: what[0],
        schema: { type: "string" },
      })),
    }),
    ...(request && {
      requestBody: {
        required: true,
        content: {
          "application/json": {
            schema: withMeanings(jsonSchemaOf(request), fields),
            examples: Object.fromEntries(bodies),
          },
        },
      },
    }),
    responses: {
      ...(success && { [success.status]: successObject(success) }),
      ...Object.fromEntries(
        [...errorsByStatus(operation)].map(([status, codes]) => [
          status,
          {
            description: codes.map((code) => `\`${code}\`: ${errorTable[code].when}`).join("\n\n"),
            content: failure,
          },
        ]),
      ),
      ...(operation.errors.includes("upstream_rejected") && {
        "4XX": { description: passedOn, content: failure },
        "5XX": { description: passedOn, content: failure },
      }),
      ...Object.fromEntries(
        Object.entries(operation.further ?? {}).map(([status, { what, schema }]) => [
          status,
          { description: what, content: { "application/json": { schema } } },
        ]),
      ),
    },
  };
}

export function openApiDocument(): JsonObject {
  const paths: Record<string, Record<string, JsonObject>> = {};
  for (const operation of operations) {
    const path = documentedPath(operation.path);
    paths[path] = { ...paths[path], [operation.method.toLowerCase()]: operationObject(operation) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "kimi-ai-2api",
      version,
      summary: "The chat on kimi-ai.chat, and OpenAI-compatible upstreams, for every AI client",
      description: "Every route is served with and without `/v1`.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    // Where the document itself is: with and without `/v1`, whatever the host and the path that it is mounted at.
    servers: [{ url: "." }],
    security: [{ bearer: [] }, { header: [] }],
    tags: Object.values(groups).map(([name]) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer" },
        header: { type: "apiKey", in: "header", name: "x-api-key" },
      },
      schemas,
    },
  };
}
