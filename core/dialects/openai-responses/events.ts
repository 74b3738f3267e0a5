/** The events of a streamed response: as it is written, and once more of one that is stored. */
import { encodeSseEvent, withoutSeparators } from "../../http/sse.ts";
import type { JsonObject } from "../../types.ts";

type Status = "in_progress" | "completed" | "incomplete";

export type OutputPart =
  | { readonly type: "output_text"; text: string; readonly annotations: []; readonly logprobs: [] }
  | { readonly type: "refusal"; refusal: string };

export interface MessageItem {
  readonly type: "message";
  readonly id: string;
  status: Status;
  readonly role: "assistant";
  readonly content: OutputPart[];
}

export interface ReasoningItem {
  readonly type: "reasoning";
  readonly id: string;
  readonly summary: { readonly type: "summary_text"; text: string }[];
  encrypted_content?: string;
}

export interface FunctionCallItem {
  readonly type: "function_call";
  readonly id: string;
  readonly call_id: string;
  readonly name: string;
  readonly namespace?: string;
  arguments: string;
  status: Status;
}

export interface CustomCallItem {
  readonly type: "custom_tool_call";
  readonly id: string;
  readonly call_id: string;
  readonly name: string;
  readonly namespace?: string;
  input: string;
  status: Status;
}

export type OutputItem = MessageItem | ReasoningItem | FunctionCallItem | CustomCallItem;

/** The item as it is when it opens. */
const emptied = (item: OutputItem): OutputItem => {
  switch (item.type) {
    case "message":
      return { ...item, status: "in_progress", content: [] };
    case "reasoning": {
      const { encrypted_content: _, ...opened } = item;
      return { ...opened, summary: [] };
    }
    case "function_call":
      return { ...item, status: "in_progress", arguments: "" };
    case "custom_tool_call":
      return { ...item, status: "in_progress", input: "" };
  }
};

const emptiedPart = (part: OutputPart): OutputPart =>
  part.type === "output_text" ? { ...part, text: "" } : { ...part, refusal: "" };

const partText = (part: OutputPart): string => (part.type === "output_text" ? part.text : part.refusal);

/** All text of an item, as its deltas bring it. */
const textOf = (item: OutputItem): string => {
  switch (item.type) {
    case "message":
      return item.content.map(partText).join("");
    case "reasoning":
      return item.summary.map(({ text }) => text).join("");
    case "function_call":
      return item.arguments;
    case "custom_tool_call":
      return item.input;
  }
};

const knownItems: ReadonlySet<string> = new Set([
  "message",
  "reasoning",
  "function_call",
  "custom_tool_call",
]);

/** Whether the item has one text at most, as the gateway's own have. */
const isKnown = (item: OutputItem): boolean =>
  knownItems.has(item.type) &&
  (item.type !== "message" || item.content.length === 1) &&
  (item.type !== "reasoning" || item.summary.length <= 1);

/** Writes events with one counter for all. */
export class EventWriter {
  #sequence: number;
  /** What the deltas of the open item have in common. */
  #deltas: ({ readonly item: OutputItem } & DeltaFrame) | undefined;

  /** `first` is the number of the first event. */
  constructor(first = 0) {
    this.#sequence = first;
  }

  write(type: string, fields: object): string {
    return encodeSseEvent(JSON.stringify({ type, sequence_number: this.#sequence++, ...fields }), type);
  }

  /** An event of the whole response, which is given as JSON: most are sent more than once. */
  response(status: string, json: string): string {
    const type = `response.${status}`;
    const data = `{"type":"${type}","sequence_number":${this.#sequence++},"response":${json}}`;
    return encodeSseEvent(data, type);
  }

  begin(json: string): string {
    return this.response("created", json) + this.response("in_progress", json);
  }

  opened(index: number, item: OutputItem): string {
    const added = this.write("response.output_item.added", { output_index: index, item: emptied(item) });
    if (item.type === "message") {
      const part = emptiedPart(item.content[0] as OutputPart);
      return added + this.write("response.content_part.added", { ...contentPlace(index, item), part });
    }
    if (item.type !== "reasoning") return added;
    const part = { type: "summary_text", text: "" };
    return (
      added + this.write("response.reasoning_summary_part.added", { ...summaryPlace(index, item), part })
    );
  }

  /** Written piece by piece: nearly all events of a stream are such, and differ in two places alone. */
  delta(index: number, item: OutputItem, delta: string): string {
    if (this.#deltas?.item !== item) this.#deltas = { item, ...deltaFrame(index, item) };
    const { start, middle, end } = this.#deltas;
    return `${start}${this.#sequence++}${middle}${JSON.stringify(delta)}${end}`;
  }

  /** `json` is the item as JSON. */
  closed(index: number, item: OutputItem, json: string): string {
    const type = "response.output_item.done";
    const done = this.#textDone(index, item);
    const data = `{"type":"${type}","sequence_number":${this.#sequence++},"output_index":${index},"item":${json}}`;
    return done + encodeSseEvent(data, type);
  }

  /** All events of an item that is there as a whole; of the kinds that only some upstreams know, the first and the last. */
  whole(index: number, item: OutputItem): string {
    if (!isKnown(item)) {
      return (
        this.write("response.output_item.added", { output_index: index, item }) +
        this.write("response.output_item.done", { output_index: index, item })
      );
    }
    const text = textOf(item);
    const opened = this.opened(index, item);
    const delta = text === "" ? "" : this.delta(index, item, text);
    return opened + delta + this.closed(index, item, JSON.stringify(item));
  }

  #textDone(index: number, item: OutputItem): string {
    switch (item.type) {
      case "message": {
        const part = item.content[0] as OutputPart;
        const at = contentPlace(index, item);
        const done =
          part.type === "refusal"
            ? this.write("response.refusal.done", { ...at, refusal: part.refusal })
            : this.write("response.output_text.done", { ...at, text: part.text, logprobs: [] });
        return done + this.write("response.content_part.done", { ...at, part });
      }
      case "reasoning": {
        const part = item.summary[0] ?? { type: "summary_text", text: "" };
        const at = summaryPlace(index, item);
        return (
          this.write("response.reasoning_summary_text.done", { ...at, text: part.text }) +
          this.write("response.reasoning_summary_part.done", { ...at, part })
        );
      }
      case "function_call": {
        const { name, arguments: json } = item;
        const fields = { ...place(index, item), name, arguments: json };
        return this.write("response.function_call_arguments.done", fields);
      }
      case "custom_tool_call":
        return this.write("response.custom_tool_call_input.done", {
          ...place(index, item),
          input: item.input,
        });
    }
  }
}

const place = (index: number, { id }: OutputItem) => ({ item_id: id, output_index: index });
const contentPlace = (index: number, item: OutputItem) => ({ ...place(index, item), content_index: 0 });
const summaryPlace = (index: number, item: OutputItem) => ({ ...place(index, item), summary_index: 0 });

interface DeltaFrame {
  /** Up to the event's number. */
  readonly start: string;
  /** From there to the text. */
  readonly middle: string;
  readonly end: string;
}

const deltaKind = (item: OutputItem): string => {
  switch (item.type) {
    case "message":
      return item.content[0]?.type === "refusal" ? "refusal" : "output_text";
    case "reasoning":
      return "reasoning_summary_text";
    case "function_call":
      return "function_call_arguments";
    case "custom_tool_call":
      return "custom_tool_call_input";
  }
};

const deltaPlace = (index: number, item: OutputItem): object => {
  if (item.type === "message") return contentPlace(index, item);
  return item.type === "reasoning" ? summaryPlace(index, item) : place(index, item);
};

function deltaFrame(index: number, item: OutputItem): DeltaFrame {
  const kind = deltaKind(item);
  const type = `response.${kind}.delta`;
  return {
    start: `event: ${type}\ndata: {"type":"${type}","sequence_number":`,
    middle: `,${JSON.stringify(deltaPlace(index, item)).slice(1, -1)},"delta":`,
    end: `${kind === "output_text" ? ',"logprobs":[]' : ""}}\n\n`,
  };
}

/** A stored response as if it were streamed anew, from the event after `after` on. */
export function replay(response: JsonObject, after: number): string {
  const writer = new EventWriter();
  const { output, status } = response;
  const running = { ...response, status: "in_progress", completed_at: null, incomplete_details: null };
  let events = writer.begin(JSON.stringify({ ...running, output: [], usage: null }));
  for (const [index, item] of (output as readonly OutputItem[]).entries())
    events += writer.whole(index, item);
  events += writer.response(String(status), JSON.stringify(response));
  const wanted = events.split(/(?<=\n\n)/).slice(after + 1);
  return withoutSeparators(wanted.join(""));
}
