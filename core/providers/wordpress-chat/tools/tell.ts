/** What the model is told of tools and of the JSON that is wanted, in steps that shrink. */
import type { JsonSchema, ToolDefinition } from "../../../types.ts";
import { oneLine, parametersOf, type ShapeDetail, shapeOf } from "./shape.ts";

export interface Detail extends ShapeDetail {
  /** The most characters of a tool's description. */
  readonly maxDescription: number;
  /** Whether tools that the newest turn does not name are told by their names alone. */
  readonly onlyNamed: boolean;
}

const full: Detail = {
  notes: true,
  maxDescription: Number.POSITIVE_INFINITY,
  nested: true,
  maxEnum: Number.POSITIVE_INFINITY,
  optional: true,
  onlyNamed: false,
};
const plain: Detail = { ...full, notes: false };
const bare: Detail = { ...plain, maxDescription: 0 };
const flat: Detail = { ...bare, nested: false, maxEnum: 3 };
const short: Detail = { ...flat, optional: false };

/** From all that is known of a tool to the least that lets it be called. */
const toolSteps: readonly Detail[] = [
  full,
  plain,
  { ...plain, maxDescription: 60 },
  bare,
  flat,
  short,
  { ...short, onlyNamed: true },
];

/** Of a form that a reply must have, nothing that it must have can be left out. */
const formSteps: readonly Detail[] = [
  full,
  plain,
  { ...plain, maxDescription: 60 },
  bare,
  { ...bare, optional: false },
];

/** The line with which a tool is called. */
export const callLine = (name: string, json: string): string => `@@${name} ${json}`;

export interface ToolsTold {
  readonly tools: readonly ToolDefinition[];
  readonly mustCall: boolean;
  readonly several: boolean;
  /** What was said last, for the names in it. */
  readonly newestText: string;
}

function tellTools({ tools, mustCall, several, newestText }: ToolsTold, detail: Detail): string {
  const named = newestText.toLowerCase();
  const lines = tools.map(({ name, description, parameters }) => {
    if (detail.onlyNamed && !named.includes(name.toLowerCase())) return `${name}(…)`;
    const about = cutWords(oneLine(description), detail.maxDescription);
    return `${name}(${parametersOf(parameters ?? true, detail)})${about && ` – ${about}`}`;
  });
  const how = several ? "a line like this for each call" : "one line like this";
  const otherwise = mustCall ? "Please use at least one now." : "If none is needed, just answer.";
  return [
    "My program has these tools:",
    ...lines,
    `To use one, write ${how} and nothing after it, and I send you the result:`,
    callLine("name", '{"argument": "value"}'),
    otherwise,
  ].join("\n");
}

/** The forms in which tools can be told, the longest first. */
export const toolTexts = (told: ToolsTold): readonly string[] =>
  toolSteps.map((detail) => tellTools(told, detail));

export interface FormTold {
  readonly schema: JsonSchema;
  readonly description?: string | undefined;
  /** The tool whose arguments they are. */
  readonly tool?: string;
}

function tellForm({ schema, description, tool }: FormTold, detail: Detail): string {
  const shape = shapeOf(schema, detail);
  const about = cutWords(oneLine(description), detail.maxDescription);
  const what = tool === undefined ? about : `the arguments of ${tool}${about && ` – ${about}`}`;
  const form = shape === "object" || shape === "any" ? "" : " of this form";
  const told = `Answer with ${shape === "object" ? "a JSON object" : "JSON"} only${form}, no code fence${what && ` (${what})`}`;
  return form === "" ? `${told}.` : `${told}:\n${shape}`;
}

/** The forms in which JSON can be asked for, the longest first. */
export const formTexts = (told: FormTold): readonly string[] =>
  formSteps.map((detail) => tellForm(told, detail));

/** The beginning of a text, cut between words where there are any. */
function cutWords(text: string, max: number): string {
  if (text.length <= max) return text;
  if (max < 2) return "";
  const head = text.slice(0, max - 1);
  const blank = head.lastIndexOf(" ");
  return `${(blank > max / 2 ? head.slice(0, blank) : head).replace(/[\uD800-\uDBFF]$|[\s.,;:]+$/, "")}…`;
}
