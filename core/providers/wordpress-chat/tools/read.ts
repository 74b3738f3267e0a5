/**
 * Finds the calls in a reply, in the form that was asked for and in those that models fall back to. What can't be read
 * for certain is text, so that no call is ever made up.
 */
import type { JsonObject, JsonSchema, ToolDefinition } from "../../../types.ts";
import { isRecord, tryParseJson } from "../../../util/json.ts";
import { type Checker, createChecker, looseName } from "./check.ts";
import { readJson, spanOfJson, withoutTagsAtEnd } from "./json-text.ts";

export interface ReadCall {
  readonly name: string;
  /** Minified JSON. */
  readonly arguments: string;
}

export interface ReadReply {
  /** What stands before the first call; the whole reply where there is none. */
  readonly text: string;
  readonly calls: readonly ReadCall[];
  /** What was wrong with the first thing that looked like a call. */
  readonly fault?: string;
}

export interface ReadOptions {
  readonly tools: readonly ToolDefinition[];
  /** Whether one reply may call several tools. */
  readonly several: boolean;
  /** Whether the reply was cut off: what is open at its end is then not closed. */
  readonly isCut: boolean;
}

export function readReply(reply: string, options: ReadOptions): ReadReply {
  const { text, calls, fault } = new ReplyReader(unfenced(reply), options).read();
  return calls.length > 0 ? { text, calls } : { text: reply, calls, ...(fault !== undefined && { fault }) };
}

/** After so many that could not be read, the rest is text: each may have cost a look at the whole reply. */
const maxFaults = 10;

/** A call as it stands in the reply. */
interface FoundCall {
  readonly name: string;
  /** A JSON text, or a value that was read already. */
  readonly input: string | JsonObject;
  readonly end: number;
}

/** How tags begin: `<`, `<|`, DeepSeek's `<|DSML|`, a name space. */
const open = String.raw`<\|?(?:DSML\|)?(?:[a-z]+:)?`;
const close = String.raw`<\/\|?(?:DSML\|)?(?:[a-z]+:)?`;
const name = String.raw`(?:=|\s+name=)["']?([^"'>\n]+?)["']?`;
const sticky = (pattern: string): RegExp => new RegExp(pattern, "y");

/** Tags that say nothing but that calls follow, or are over. */
const wrapper = sticky(
  String.raw`\s*${open}(?:tool_calls|function_calls|tool_calls_section_begin|tool_calls_begin)\|?>`,
);
const closer = /\s*(?:<\/[^>\n]{1,60}>|<\|[a-z_]*end\|>|[`*]+(?=\s|$)|,(?=\s*[@<]))/y;
/** Models that were shown a history go on with its label. */
const label = String.raw`(?:[*_]{0,2}(?:assistant|model|kimi|ai|bot|助手|模型|(?:tool |function )?call|action)[*_]{0,2}[:：][*_]{0,2}[ \t]*)?`;
const marker = new RegExp(
  String.raw`[ \t]*(?:(?:[-*•>]|\d+[.)])[ \t]+)?${label}[*_\`]{0,3}(@{1,3})[ \t]*`,
  "iy",
);
const envelopeTag = sticky(
  String.raw`\s*${open}(?:tool_call|tool|tool_use|tool_code|function_call|tool_call_begin)\|?>\s*(?:function<\|tool_sep\|>)?`,
);
const functionTag = sticky(String.raw`\s*${open}(?:function|invoke)${name}\s*>\s*`);
const parameterTag = sticky(String.raw`\s*${open}parameter${name}(?:\s+[^>\n]*)?>`);
const parameterEnd = new RegExp(String.raw`${close}parameter\s*>`, "g");
const functionEnd = sticky(String.raw`\s*${close}(?:function|invoke)\s*>`);
const nativeName = /[ \t]*(functions\.[^\s{:(<]+)(?::\d+)?\s*(?:<\|tool_call_argument_begin\|>)?\s*(?=\{)/y;
const nameToken = /[^\s{(<"'`*]+/y;
/** Between a name and its arguments, which may be in a fence of their own. */
const beforeInput = /[ \t:=*`]*(?:\r?\n)?[ \t]*(?:```\w*\r?\n)?(?:<\|tool_call_argument_begin\|>)?\s*/y;
/** How a model goes on that has made up a result. */
const madeUpResult =
  /^[ \t]*[*_]{0,2}(?:tool|user|human|system|assistant|result|output|observation|response)\b[^\n]{0,60}[:：]/im;

class ReplyReader {
  /** As the model wrote it. */
  readonly #reply: string;
  /** The same, character by character, with look-alikes of tags and marks made what they look like. */
  readonly #plain: string;
  readonly #options: ReadOptions;
  readonly #checkers = new Map<ToolDefinition, Checker>();
  #fault: string | undefined;
  #faults = 0;

  constructor(reply: string, options: ReadOptions) {
    this.#reply = reply;
    this.#plain = reply
      .replaceAll("＜", "<")
      .replaceAll("＞", ">")
      .replaceAll("｜", "|")
      .replaceAll("＠", "@")
      .replaceAll("▁", "_");
    this.#options = options;
  }

  read(): ReadReply {
    const marked = this.#markedCalls();
    if (marked !== undefined) return marked;
    const calls = this.#wholeReply();
    if (calls.length > 0) return { text: "", calls: this.#limit(calls) };
    return { text: this.#reply, calls: [], ...(this.#fault !== undefined && { fault: this.#fault }) };
  }

  /** Calls that are marked as such, each at the start of a line or behind another. */
  #markedCalls(): ReadReply | undefined {
    const calls: ReadCall[] = [];
    let begin: number | undefined;
    let lastEnd = 0;
    for (const start of this.#lineStarts()) {
      if (start < lastEnd) continue;
      for (let at = start; ; ) {
        const found = this.#callAt(at);
        const call = found && this.#checked(found.name, found.input);
        if (found === undefined || call === undefined) break;
        if (calls.length > 0 && madeUpResult.test(this.#reply.slice(lastEnd, at))) break;
        begin ??= start;
        calls.push(call);
        lastEnd = this.#skip(closer, found.end);
        at = lastEnd;
      }
    }
    if (begin === undefined) return undefined;
    return { text: this.#reply.slice(0, begin).trim(), calls: this.#limit(calls) };
  }

  /** Where lines start that say something, but for those within a fence, which are examples. */
  *#lineStarts(): Generator<number> {
    let fence = "";
    for (let start = 0; ; ) {
      const end = this.#plain.indexOf("\n", start);
      const line = this.#plain.slice(start, end < 0 ? undefined : end);
      const [, mark = ""] = /^[ \t]*(`{3,}|~{3,})/.exec(line) ?? [];
      if (fence === "") {
        fence = mark;
        if (mark === "" && line.trim() !== "") yield start;
      } else if (mark.startsWith(fence)) fence = "";
      if (end < 0) return;
      start = end + 1;
    }
  }

  #callAt(start: number): FoundCall | undefined {
    const at = this.#skip(wrapper, start);
    return this.#atMarker(at) ?? this.#inTag(at) ?? this.#nativeCall(at);
  }

  /** `@@name {…}` */
  #atMarker(at: number): FoundCall | undefined {
    const match = this.#match(marker, at);
    return match && this.#namedCall(marker.lastIndex, match[1] === "@");
  }

  /** `name {…}`, `name(…)`, or a name alone where the tool needs nothing. */
  #namedCall(at: number, needsInput = false): FoundCall | undefined {
    const match = this.#match(nameToken, at);
    if (match === undefined) return undefined;
    const name = match[0].replace(/[:=]+$/, "");
    const nameEnd = at + name.length;
    this.#match(beforeInput, nameEnd);
    const inputAt = beforeInput.lastIndex;
    if (this.#plain[inputAt] === "{") return this.#jsonInput(name, inputAt);
    if (this.#plain[nameEnd] === "(") return this.#parameterList(name, nameEnd);
    const lineEnd = /[ \t*_`:]*(?:\r?\n|$)/y;
    const isAlone = this.#match(lineEnd, nameEnd) !== undefined;
    const mayBeCut = this.#options.isCut && lineEnd.lastIndex === this.#plain.length;
    return isAlone && !needsInput && !mayBeCut ? { name, input: {}, end: nameEnd } : undefined;
  }

  #jsonInput(name: string, at: number): FoundCall | undefined {
    const span = this.#span(at);
    return span && { name, input: span.text, end: span.end };
  }

  /** `({…})`, or `(city: "Paris", days=3)`. */
  #parameterList(name: string, at: number): FoundCall | undefined {
    const span = this.#span(at);
    if (span === undefined) return undefined;
    const inner = span.text
      .slice(1)
      .replace(/\)\s*$/, "")
      .trim();
    if (inner === "" || inner.startsWith("{")) return { name, input: inner || {}, end: span.end };
    const pairs = inner.replace(/(^|,)(\s*[\w$-]+\s*)=(?!=)/g, "$1$2:");
    return /^["'\w$-]+\s*:/.test(pairs) ? { name, input: `{${pairs}}`, end: span.end } : undefined;
  }

  /** The tags of other models' own formats. */
  #inTag(at: number): FoundCall | undefined {
    if (this.#match(envelopeTag, at)) {
      const inner = envelopeTag.lastIndex;
      if (this.#plain[inner] !== "{") return this.#taggedFunction(inner) ?? this.#namedCall(inner, true);
      const span = this.#span(inner);
      const [call, ...more] = envelopes(span && readJson(span.text));
      return span && call && more.length === 0 ? { ...call, end: span.end } : undefined;
    }
    return this.#taggedFunction(at);
  }

  #taggedFunction(at: number): FoundCall | undefined {
    const name = this.#match(functionTag, at)?.[1];
    if (name === undefined) return undefined;
    const inner = functionTag.lastIndex;
    if (this.#plain[inner] === "{") return this.#jsonInput(name, inner);
    return this.#taggedParameters(name, inner);
  }

  /** `<parameter=city>Paris</parameter>` */
  #taggedParameters(name: string, at: number): FoundCall | undefined {
    const input: [string, string][] = [];
    let end = at;
    for (;;) {
      const key = this.#match(parameterTag, end)?.[1];
      if (key === undefined) break;
      const start = parameterTag.lastIndex;
      const closing = this.#match(parameterEnd, start);
      if (closing === undefined) return undefined;
      const value = this.#reply.slice(start, closing.index).replace(/^\r?\n|\r?\n$/g, "");
      input.push([key, value.replace(/^<!\[CDATA\[([\s\S]*)\]\]>$/, "$1")]);
      end = parameterEnd.lastIndex;
    }
    const isClosed = this.#match(functionEnd, end) !== undefined;
    return input.length > 0 || isClosed ? { name, input: Object.fromEntries(input), end } : undefined;
  }

  /** `functions.name:0 {…}`, which is Kimi's own. */
  #nativeCall(at: number): FoundCall | undefined {
    const name = this.#match(nativeName, at)?.[1];
    return name === undefined ? undefined : this.#jsonInput(name, nativeName.lastIndex);
  }

  /** A reply that is nothing but a call, or a list of them. */
  #wholeReply(): ReadCall[] {
    const reply = this.#reply.trim();
    const start = this.#plain.length - this.#plain.trimStart().length;
    if (/^[{[]/.test(reply)) {
      const span = this.#span(start);
      if (span === undefined || this.#reply.slice(span.end).trim() !== "") return [];
      const found = envelopes(readJson(span.text));
      const calls = found.flatMap(({ name, input }) => this.#checked(name, input) ?? []);
      return calls.length === found.length ? calls : [];
    }
    const found = this.#namedCall(start, true);
    if (found === undefined || findTool(found.name, this.#options.tools) === undefined) return [];
    if (this.#reply.slice(this.#skip(closer, found.end)).trim() !== "") return [];
    const call = this.#checked(found.name, found.input);
    return call ? [call] : [];
  }

  /** The value that begins at `at`. One that is open at the reply's end counts if nothing but brackets is missing. */
  #span(at: number): { readonly text: string; readonly end: number } | undefined {
    if (this.#faults >= maxFaults) return undefined;
    const { end, open } = spanOfJson(this.#reply, at);
    if (open === "string" || (open === "brackets" && this.#options.isCut)) {
      return this.#refuse("The call is cut off.");
    }
    const text = this.#reply.slice(at, end);
    return { text: open === "nothing" ? text : withoutTagsAtEnd(text), end };
  }

  /** The call, if a tool of that name is on offer and takes the arguments. */
  #checked(name: string, input: string | JsonObject): ReadCall | undefined {
    const tool = findTool(name, this.#options.tools);
    if (tool === undefined) {
      return this.#refuse("There is no tool of that name.");
    }
    let checker = this.#checkers.get(tool);
    if (checker === undefined) {
      checker = createChecker(inputSchema(tool));
      this.#checkers.set(tool, checker);
    }
    const checked = typeof input === "string" ? checker.check(input) : checker.checkValue(input);
    if ("json" in checked) return { name: tool.name, arguments: checked.json };
    return this.#refuse(`${tool.name}: ${checked.fault}`);
  }

  #refuse(fault: string): undefined {
    this.#fault ??= fault;
    this.#faults += 1;
  }

  /** Each call once, and no more of them than the client wants. */
  #limit(calls: readonly ReadCall[]): readonly ReadCall[] {
    const once = new Map(calls.map((call) => [`${call.name} ${call.arguments}`, call]));
    return [...once.values()].slice(0, this.#options.several ? undefined : 1);
  }

  #match(pattern: RegExp, at: number): RegExpExecArray | undefined {
    pattern.lastIndex = at;
    return pattern.exec(this.#plain) ?? undefined;
  }

  /** Behind all that the pattern matches in a row. */
  #skip(pattern: RegExp, start: number): number {
    let at = start;
    while (this.#match(pattern, at)) at = pattern.lastIndex;
    return at;
  }
}

/** The schema of a tool's arguments, which are an object whatever else it says. */
export const inputSchema = ({ parameters }: ToolDefinition): JsonSchema =>
  isRecord(parameters) ? { type: "object", ...parameters } : { type: "object" };

/** A reply that is one fence and nothing else, without it. */
function unfenced(reply: string): string {
  const trimmed = reply.trim();
  const start = trimmed.indexOf("\n");
  if (start < 0 || !/^```[\w-]*\s*$/.test(trimmed.slice(0, start)) || !trimmed.endsWith("```")) return reply;
  const inner = trimmed.slice(start + 1, -3).trimEnd();
  return inner.includes("```") ? reply : inner;
}

function findTool(name: string, tools: readonly ToolDefinition[]): ToolDefinition | undefined {
  const exact = tools.find((tool) => tool.name === name);
  if (exact !== undefined) return exact;
  const bare = looseName(name.replace(/:\d+$/, "").replace(/^functions?[._]/i, ""));
  const same = tools.filter((tool) => looseName(tool.name) === bare);
  return same.length === 1 ? same[0] : undefined;
}

const nameKeys = ["name", "tool", "tool_name", "function", "action"];
const inputKeys = ["arguments", "args", "parameters", "input", "params", "tool_input", "action_input"];

/** The calls that a JSON value is: `{"name", "arguments"}` in its variants, a list of such, or `{"tool_calls": […]}`. */
function envelopes(value: unknown): { readonly name: string; readonly input: string | JsonObject }[] {
  if (Array.isArray(value)) {
    const calls = value.map(envelopes);
    return calls.every((each) => each.length === 1) ? calls.flat() : [];
  }
  if (!isRecord(value)) return [];
  if (Array.isArray(value.tool_calls)) return envelopes(value.tool_calls);
  const inner = value.function ?? value.function_call ?? value.tool_call;
  if (isRecord(inner)) return envelopes(inner);
  const name = nameKeys.map((key) => value[key]).find((entry) => typeof entry === "string");
  const input = inputKeys.map((key) => value[key]).find((entry) => entry !== undefined);
  if (name === undefined) return [];
  if (isRecord(input)) return [{ name: name as string, input }];
  // Chat Completions has them as a text.
  return typeof input === "string" && isRecord(tryParseJson(input)) ? [{ name: name as string, input }] : [];
}
