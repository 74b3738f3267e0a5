/** What a request wants of a chat that takes a text and gives one: a reply, calls of tools, or JSON. */
import { ApiError } from "../../../errors.ts";
import type { ChatMessage, ChatRequest, FinishReason, JsonSchema, ToolDefinition } from "../../../types.ts";
import { isRecord } from "../../../util/json.ts";
import { countCodePoints } from "../prompt/shorten.ts";
import { limitReply } from "../reply/limit-reply.ts";
import { createChecker } from "./check.ts";
import { leastChars, shortenResults, writeCalls } from "./history.ts";
import { readJsonReply } from "./json-reply.ts";
import { inputSchema, type ReadCall, readReply } from "./read.ts";
import { formTexts, toolTexts } from "./tell.ts";

/** A reply as the client gets it. */
export interface TaskReply {
  readonly text: string;
  readonly calls: readonly ReadCall[];
  readonly reason: FinishReason;
  /** The text of `stop` that ended the reply. */
  readonly stopSequence?: string | undefined;
}

/** A reply that is not what was demanded; `fault` is what the model is told of it. */
interface Unusable {
  readonly fault: string;
}

export interface TaskQuestion {
  /** What stands before the text of the messages, blank line included; "" for nothing. */
  readonly lead: string;
  readonly messages: readonly ChatMessage[];
}

export interface ReplyTask {
  /** Whether any text is a good reply, so that it may go out as it comes. */
  readonly isPlain?: true;
  readonly question: TaskQuestion;
  /** The question with a word on what was wrong with the first reply; undefined where there is no room for it. */
  questionAgain(fault: string): TaskQuestion | undefined;
  read(reply: string): TaskReply | Unusable;
}

const leadSeparator = "\n\n";

export interface TaskOptions {
  /** The most characters that the site takes. */
  readonly maxChars: number;
  /** Whether tools and forms of JSON are told in the prompt at all. */
  readonly byPrompt: boolean;
}

/** Throws ApiError for what can't be done, and for tools that don't fit. */
export function createTask(request: ChatRequest, options: TaskOptions): ReplyTask {
  if (!options.byPrompt) {
    refuseDemands(request);
    return plainTask(request);
  }
  const { toolChoice, responseFormat } = request;
  const tools = toolChoice === "none" ? [] : offeredTools(request);
  const mustCall = toolChoice === "required" || typeof toolChoice === "object";
  const [first, ...others] = tools;
  if (first !== undefined && mustCall && others.length === 0) return argumentsTask(request, first, options);
  if (first !== undefined) return toolsTask(request, { tools, mustCall }, options);
  if (responseFormat !== "text") return jsonTask(request, options);
  return plainTask(request);
}

/** Asks once, or twice where the first reply is of no use. Throws ApiError upstream_invalid_response after that. */
export async function performTask(
  task: ReplyTask,
  ask: (question: TaskQuestion) => Promise<string>,
): Promise<TaskReply> {
  const first = task.read(await ask(task.question));
  if (!("fault" in first)) return first;
  const again = task.questionAgain(first.fault);
  const second = again === undefined ? first : task.read(await ask(again));
  if (!("fault" in second)) return second;
  throw new ApiError(
    "upstream_invalid_response",
    `The model did not answer in the form that was asked for${again ? ", not even when it was reminded" : ""}: ${second.fault}`,
    // It was asked again already.
    { headers: { "x-should-retry": "false" } },
  );
}

/** Nothing but a text. */
function plainTask(request: ChatRequest): ReplyTask {
  return {
    isPlain: true,
    question: { lead: "", messages: request.messages },
    questionAgain: () => undefined,
    read: (reply) => ({ ...limitReply(reply, request), calls: [] }),
  };
}

function toolsTask(
  request: ChatRequest,
  { tools, mustCall }: { readonly tools: readonly ToolDefinition[]; readonly mustCall: boolean },
  options: TaskOptions,
): ReplyTask {
  const { messages, parallelToolCalls: several, responseFormat } = request;
  const form = responseFormat === "text" ? undefined : jsonForm(responseFormat);
  const newestText = messages.findLast(({ role }) => role === "user")?.text ?? "";
  const told = toolTexts({ tools, mustCall, several, newestText });
  const forms = form === undefined ? [] : formTexts(form);
  const leads = told.map((text, step) => {
    const formText = forms[Math.min(step, forms.length - 1)];
    return formText === undefined ? text : `${text}\nWithout a call: ${formText}`;
  });
  const json = form && jsonReader(request, form.schema);
  return {
    ...questions(leads, writeCalls(messages), { ...options, param: "tools" }),
    read(reply) {
      const limited = limitReply(reply, request);
      const isCut = limited.text !== reply;
      const { text, calls, fault } = readReply(limited.text, { tools, several, isCut });
      if (calls.length > 0) return { text, calls, reason: "tool_calls" };
      if (mustCall && limited.reason !== "length")
        return { fault: fault ?? "There was no line that calls one of the tools." };
      return json === undefined || mustCall ? { ...limited, calls } : json(reply);
    },
  };
}

/** A call that is certain to be made: only its arguments are asked for. */
function argumentsTask(request: ChatRequest, tool: ToolDefinition, options: TaskOptions): ReplyTask {
  const schema = inputSchema(tool);
  const checker = createChecker(schema);
  const leads = formTexts({ schema, description: tool.description, tool: tool.name });
  return {
    ...questions(leads, request.messages, { ...options, param: "tools" }),
    read(reply) {
      const [called] = readReply(reply, { tools: [tool], several: false, isCut: false }).calls;
      const checked = called ? { json: called.arguments } : readJsonReply(reply, checker);
      if ("fault" in checked) return checked;
      const limited = limitReply(checked.json, request);
      if (limited.text !== checked.json) return { ...limited, calls: [] };
      return { text: "", calls: [{ name: tool.name, arguments: checked.json }], reason: "tool_calls" };
    },
  };
}

function jsonTask(request: ChatRequest, options: TaskOptions): ReplyTask {
  const form = jsonForm(request.responseFormat);
  return {
    ...questions(formTexts(form), request.messages, { ...options, param: "response_format" }),
    read: jsonReader(request, form.schema),
  };
}

function jsonForm(format: ChatRequest["responseFormat"]) {
  if (typeof format === "string") return { schema: { type: "object" } satisfies JsonSchema };
  const { name, description, schema } = format;
  const about = [name, description].filter((text) => text !== undefined && text !== "");
  return { schema, description: about.join(": ") };
}

function jsonReader(request: ChatRequest, schema: JsonSchema): ReplyTask["read"] {
  const checker = createChecker(schema);
  return (reply) => {
    const checked = readJsonReply(reply, checker);
    return "fault" in checked ? checked : { ...limitReply(checked.json, request), calls: [] };
  };
}

/** The first of the leads that fits in half of the limit, and if it can be beside the newest turn. */
function questions(
  leads: readonly string[],
  messages: readonly ChatMessage[],
  { maxChars, param }: Pick<TaskOptions, "maxChars"> & { readonly param: "tools" | "response_format" },
): Pick<ReplyTask, "question" | "questionAgain"> {
  const half = Math.floor(maxChars / 2);
  const fitting = leads.filter((lead) => countCodePoints(lead) <= half);
  const shortest = fitting.at(-1);
  if (shortest === undefined) {
    const least = Math.min(...leads.map(countCodePoints));
    const [what, less] =
      param === "tools"
        ? ["The tools take", "fewer or smaller ones"]
        : ["The schema of response_format takes", "a smaller one"];
    throw new ApiError(
      "context_length_exceeded",
      `${what} ${least} characters at the shortest; the chat site has room for ${half} beside the messages, half of ` +
        `its ${maxChars}. Send ${less}, or use a model of another upstream.`,
      { param, overflow: { chars: least, maxChars: half } },
    );
  }
  const isBeside = (lead: string, maxSystem = Math.floor(maxChars / 4)) =>
    countCodePoints(lead) + leadSeparator.length + leastChars(messages, maxSystem) <= maxChars;
  const ask = (lead: string): TaskQuestion => ({
    lead: lead + leadSeparator,
    messages: shortenResults(messages, maxChars - countCodePoints(lead) - leadSeparator.length),
  });
  const beside = fitting.find((lead) => isBeside(lead)) ?? (isBeside(shortest, 0) ? shortest : undefined);
  return {
    // A newest message that is too long for any is shortened or refused by itself.
    question: ask(beside ?? fitting[0] ?? shortest),
    questionAgain(fault) {
      const reminder = `\n(Your last answer was of no use to my program. ${fault.slice(0, 200)})`;
      const lead = fitting.map((text) => text + reminder).find((text) => isBeside(text));
      return lead === undefined ? undefined : ask(lead);
    },
  };
}

/** The tools that may be called: the one that is demanded, or all. */
function offeredTools({ tools, toolChoice, native }: ChatRequest): readonly ToolDefinition[] {
  const offered: readonly unknown[] = Array.isArray(native.tools) ? native.tools : [];
  const at = offered.findIndex(
    (tool) => isRecord(tool) && tool.type !== undefined && tool.type !== "function",
  );
  if (at >= 0) {
    throw new ApiError(
      "unsupported_parameter",
      `The chat site can call functions only; tools[${at}] is of another type. Leave it out, or use a model of ` +
        "another upstream.",
      { param: "tools" },
    );
  }
  if (toolChoice !== "required" && typeof toolChoice !== "object") return tools;
  const demanded =
    typeof toolChoice === "object" ? tools.filter((tool) => tool.name === toolChoice.tool) : tools;
  if (demanded.length > 0) return demanded;
  throw new ApiError("invalid_request", "tool_choice demands a call of a tool that is not among tools.", {
    param: "tool_choice",
  });
}

/** What can't be had of a chat without being told in its prompt. */
function refuseDemands({ toolChoice, responseFormat }: ChatRequest): void {
  const refuse = (param: string, what: string): never => {
    throw new ApiError(
      "unsupported_parameter",
      `The chat site can't ${what}. Change ${param}, or use a model of another upstream.`,
      { param },
    );
  };
  if (toolChoice === "required" || typeof toolChoice === "object") refuse("tool_choice", "call tools");
  if (responseFormat === "text") return;
  const format = responseFormat === "json_object" ? responseFormat : "json_schema";
  refuse("response_format", `be held to ${format}`);
}
