/** The settings of models' names, and of what is done when an upstream fails. */
import * as v from "valibot";
import { custom, onOff, parsedJson, stringRecord } from "../config/values.ts";

export interface RoutingSettings {
  /** The model of requests that name none; undefined for the first one of the list. */
  readonly defaultModel: string | undefined;
  /** Other names for models; "*" stands for every name that nothing else has. */
  readonly modelAliases: Readonly<Record<string, string>>;
  /** The models to ask when one fails early, by that one's id. */
  readonly modelFallbacks: Readonly<Record<string, readonly string[]>>;
  /** Whether an upstream that keeps failing is left alone for a while. */
  readonly circuitBreaker: boolean;
  /** Whether instances tell each other, through the store, which circuits are open. */
  readonly sharesCircuits: boolean;
}

/** `name=model,…` or a JSON object. */
function readAliases(value: string): Readonly<Record<string, string>> {
  const allowed =
    "must be `name=model,…` or a JSON object of names and models; `*=model` takes every other name";
  if (value.trim().startsWith("{")) return stringRecord("names and models")(value);
  const entries = value
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
  return Object.fromEntries(
    entries.map((entry) => {
      const at = entry.indexOf("=");
      const name = entry.slice(0, at).trim();
      const model = entry.slice(at + 1).trim();
      if (at < 1 || name === "" || model === "") throw new Error(allowed);
      return [name, model];
    }),
  );
}

const fallbacksSchema = v.record(v.string(), v.array(v.string()));

function readFallbacks(value: string): Readonly<Record<string, readonly string[]>> {
  const result = v.safeParse(fallbacksSchema, parsedJson(value));
  if (!result.success)
    throw new Error('must be a JSON object of lists, such as {"kimi-k2-instruct":["moonshot/kimi-k2"]}');
  return result.output;
}

export const routingEntries = {
  DEFAULT_MODEL: v.optional(v.pipe(v.string(), v.trim())),
  MODEL_ALIASES: custom("", readAliases),
  MODEL_FALLBACKS: custom("{}", readFallbacks),
  CIRCUIT_BREAKER: onOff("on"),
  CIRCUIT_SHARED: onOff("off"),
};
