/** Tools of Responses as functions of Chat Completions, and the calls of those back. */
import { ApiError } from "../../errors.ts";
import type { JsonObject } from "../../types.ts";
import { isRecord, tryParseJson } from "../../util/json.ts";
import type { ChatBody } from "../shared/chat-completions-prompt.ts";

/** The tool that a function stands for. */
export interface ToolOrigin {
  /** A custom tool takes a text, where a function takes JSON. */
  readonly kind: "function" | "custom";
  readonly name: string;
  readonly namespace?: string;
}

export interface Tools {
  /** In Chat Completions' shape. */
  readonly functions: readonly JsonObject[];
  /** What a function of this name stands for; one that was not on offer stands for itself. */
  origin(functionName: string): ToolOrigin;
  /** The name of the function that stands for a tool. */
  functionName(name: string, namespace?: string): string;
}

const maxNameLength = 64;

/** A tool's name with its namespace before it, within what Chat Completions takes for a name. */
const flatName = (name: string, namespace: string | undefined): string =>
  (namespace === undefined ? name : `${namespace}__${name}`).replace(/[^\w-]/g, "_").slice(-maxNameLength);

/** Tells a model what a custom tool's text must be, as no schema can. */
const describeFormat = (format: unknown): string => {
  if (!isRecord(format) || format.type !== "grammar") return "";
  return `\n\nThe input must follow this ${String(format.syntax)} grammar:\n${String(format.definition)}`;
};

const customFunction = (name: string, { description, format }: JsonObject): JsonObject => ({
  type: "function",
  function: {
    name,
    description: `${typeof description === "string" ? description : ""}${describeFormat(format)}`.trim(),
    parameters: {
      type: "object",
      properties: { input: { type: "string", description: "The whole input of the tool." } },
      required: ["input"],
      additionalProperties: false,
    },
  },
});

const plainFunction = (name: string, { description, parameters, strict }: JsonObject): JsonObject => ({
  type: "function",
  function: {
    name,
    ...(typeof description === "string" && { description }),
    parameters: isRecord(parameters) ? parameters : { type: "object", properties: {} },
    ...(typeof strict === "boolean" && { strict }),
  },
});

/** Reads functions, custom tools and namespaces of both. Tools that OpenAI's own servers would run are left out. */
export function readTools(tools: readonly JsonObject[]): Tools {
  const functions = new Map<string, JsonObject>();
  const origins = new Map<string, ToolOrigin>();
  const names = new Map<string, string>();
  const keyOf = (name: string, namespace: string | undefined) => JSON.stringify([namespace, name]);

  const add = (tool: JsonObject, namespace: string | undefined): void => {
    const { type: kind, name } = tool;
    if (typeof name !== "string") return;
    if (kind === "namespace" && Array.isArray(tool.tools)) {
      for (const inner of tool.tools) if (isRecord(inner)) add(inner, name);
      return;
    }
    if (kind !== "function" && kind !== "custom") return;
    const key = keyOf(name, namespace);
    let flat = names.get(key) ?? flatName(name, namespace);
    for (let count = 2; functions.has(flat) && !names.has(key); count++) {
      flat = `${flatName(name, namespace).slice(0, maxNameLength - 4)}_${count}`;
    }
    names.set(key, flat);
    origins.set(flat, { kind, name, ...(namespace !== undefined && { namespace }) });
    functions.set(flat, kind === "custom" ? customFunction(flat, tool) : plainFunction(flat, tool));
  };

  for (const tool of tools) add(tool, undefined);
  return {
    functions: [...functions.values()],
    origin: (functionName) => origins.get(functionName) ?? { kind: "function", name: functionName },
    functionName: (name, namespace) => names.get(keyOf(name, namespace)) ?? flatName(name, namespace),
  };
}

/** The text that a model gave to a custom tool, whatever it wrapped it in. */
export function customInput(json: string): string {
  const value = tryParseJson(json);
  if (typeof value === "string") return value;
  if (!isRecord(value)) return json;
  const { input, patch } = value;
  if (typeof input === "string") return input;
  if (typeof patch === "string") return patch;
  const [only, ...others] = Object.values(value);
  return typeof only === "string" && others.length === 0 ? only : json;
}

/** The arguments by which a function that stands for a custom tool was called. */
export const customArguments = (input: string): string => JSON.stringify({ input });

const nameOfFunction = (tool: JsonObject): unknown => (tool.function as JsonObject).name;

/** What Chat Completions is told of tools: which are on offer, and which must be called. */
export function readToolChoice(
  { functions, functionName }: Tools,
  choice: string | JsonObject | null | undefined,
): Pick<ChatBody, "tools" | "tool_choice"> {
  const named = (tool: JsonObject) =>
    functionName(String(tool.name), typeof tool.namespace === "string" ? tool.namespace : undefined);
  const missing = (): never => {
    const message = "tool_choice demands a tool that is not among the functions and custom tools of tools.";
    throw new ApiError("invalid_request", message, { param: "tool_choice" });
  };
  const offered = (only: readonly JsonObject[], toolChoice: ChatBody["tool_choice"]) =>
    only.length > 0 ? { tools: only, tool_choice: toolChoice } : {};

  if (choice == null || choice === "auto") return offered(functions, "auto");
  if (choice === "none") return offered(functions, "none");
  if (choice === "required") return functions.length > 0 ? offered(functions, "required") : missing();
  if (typeof choice === "string") return offered(functions, "auto");
  if (choice.type === "allowed_tools") {
    const allowed = (Array.isArray(choice.tools) ? choice.tools.filter(isRecord) : []).map(named);
    // Cut here: few upstreams know of such a choice.
    const only = functions.filter((tool) => allowed.includes(String(nameOfFunction(tool))));
    if (choice.mode !== "required") return offered(only, "auto");
    return only.length > 0 ? offered(only, "required") : missing();
  }
  if (choice.type !== "function" && choice.type !== "custom") return offered(functions, "auto");
  const name = named(choice);
  if (!functions.some((tool) => nameOfFunction(tool) === name)) return missing();
  return offered(functions, { type: "function", function: { name } });
}
