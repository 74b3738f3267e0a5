import Ajv2020 from "ajv/dist/2020.js";
import schemas from "../fixtures/openai-schemas.json" with { type: "json" };

const ajv = new Ajv2020.default({ allErrors: true, strict: false });
ajv.addSchema(schemas);

export type OpenAiSchema = keyof (typeof schemas)["$defs"];

/** What is wrong with `value` by OpenAI's own schema; empty when nothing is. */
export function schemaErrors(schema: OpenAiSchema, value: unknown): string[] {
  const validate = ajv.getSchema(`openai#/$defs/${schema}`);
  if (validate === undefined) throw new Error(`no schema ${schema}`);
  if (validate(value)) return [];
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}
