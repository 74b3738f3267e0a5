/** All that the gateway changes in what an upstream of its clients' format says: docs/upstreams.md has the same list. */
import type { Json, Recording } from "./vendors.ts";

export interface Mend {
  /** What it changes, in an event or a whole answer that is its own copy. */
  apply(body: Json, state: MendState): void;
}

/** What is known of the events before. */
export interface MendState {
  readonly isWhole: boolean;
  /** Whether the client asked for token counts. */
  readonly isUsageAsked: boolean;
  hasRole: boolean;
  readonly calls: string[];
}

const messageOf = ({ delta, message }: Json, { isWhole }: MendState): Json =>
  isWhole ? message : (delta ?? message);

const eachChoice =
  (mend: (choice: Json, state: MendState) => void): Mend["apply"] =>
  (body, state) => {
    for (const choice of body.choices) mend(choice, state);
  };

const openAiWords: Readonly<Record<string, string>> = {
  sensitive: "content_filter",
  eos: "stop",
  MAX_TOKENS: "length",
};

const thoughtsIn = (content: Json[]): string =>
  content.flatMap(({ thinking = [] }) => thinking.map(({ text }: Json) => text)).join("");
const textIn = (content: Json[]): string => content.map(({ text = "" }) => text).join("");

const ownId = (count: number) => `call_${String(count).padStart(32, "0")}`;

/** Of every answer. */
const common = {
  identity: {
    apply(body, { isWhole }) {
      const object = isWhole ? "chat.completion" : "chat.completion.chunk";
      Object.assign(body, { id: "chatcmpl-0", object, created: 0, model: "echo" });
    },
  },
  "schema-fields": {
    apply: eachChoice((choice, state) => {
      const message = messageOf(choice, state);
      if (!state.hasRole || state.isWhole) message.role = "assistant";
      state.hasRole = true;
      if (!state.isWhole) return;
      message.refusal ??= null;
      choice.logprobs ??= null;
    }),
  },
  usage: {
    apply(body, { isUsageAsked, isWhole }) {
      if (isUsageAsked && !isWhole) body.usage ??= null;
    },
  },
} satisfies Record<string, Mend>;

/** Of some vendors' answers. */
const special = {
  padding: {
    apply(body) {
      for (const part of [body, ...body.choices]) {
        delete part.p;
        delete part.obfuscation;
      }
    },
  },
  reasoning: {
    apply: eachChoice((choice, state) => {
      const message = messageOf(choice, state);
      if (message.reasoning) message.reasoning_content = message.reasoning;
    }),
  },
  "content-list": {
    apply: eachChoice((choice, state) => {
      const message = messageOf(choice, state);
      const { content } = message;
      if (!Array.isArray(content)) return;
      message.content = textIn(content);
      if (thoughtsIn(content)) message.reasoning_content = thoughtsIn(content);
    }),
  },
  "finish-word": {
    apply: eachChoice((choice) => {
      const word = openAiWords[choice.finish_reason];
      if (word === undefined) return;
      choice.native_finish_reason = choice.finish_reason;
      choice.finish_reason = word;
    }),
  },
  "finish-tools": {
    apply: eachChoice((choice, state) => {
      const hasCalls = state.calls.length > 0 || messageOf(choice, state).tool_calls?.length > 0;
      if (choice.finish_reason !== "stop" || !hasCalls) return;
      choice.native_finish_reason = "stop";
      choice.finish_reason = "tool_calls";
    }),
  },
  "finish-once": { apply() {} },
  "tool-calls": {
    apply: eachChoice((choice, state) => {
      const { calls, isWhole } = state;
      for (const called of messageOf(choice, state).tool_calls ?? []) {
        if (called.function.name) {
          const isOwn = called.id && !calls.includes(called.id);
          called.id = isOwn ? called.id : ownId(calls.length);
          called.type ??= "function";
          calls.push(called.id);
        }
        if (!isWhole) called.index = calls.length - 1;
      }
    }),
  },
  "null-fields": {
    apply: eachChoice((choice, state) => {
      const message = messageOf(choice, state);
      for (const field of ["tool_calls", "function_call"]) if (message[field] === null) delete message[field];
    }),
  },
  message: {
    apply: eachChoice((choice, { isWhole }) => {
      choice.index = 0;
      if (isWhole) return;
      choice.delta = choice.message;
    }),
  },
  remarks: { apply() {} },
} satisfies Record<string, Mend>;

export type MendName = keyof typeof special;

/** The names that docs/upstreams.md has. */
export const mendNames: readonly string[] = [...Object.keys(common), ...Object.keys(special)];

const isText = (event: object | string): event is string => typeof event === "string";

const mend = (body: Json, recording: Recording, state: MendState): Json => {
  const own = structuredClone(body);
  for (const name of recording.mends ?? []) special[name].apply(own, state);
  for (const { apply } of Object.values(common)) apply(own, state);
  return own;
};

const newState = (isWhole: boolean, isUsageAsked: boolean): MendState => ({
  isWhole,
  isUsageAsked,
  hasRole: false,
  calls: [],
});

/** The token counts of an event: Moonshot has them in its choice. */
const countsOf = ({ usage, choices: [choice] }: Json): Json => usage ?? choice?.usage;

/** Only a finish after which there is no more text is one, and only once. */
function keepOneFinish(events: readonly Json[]): void {
  const lastText = events.findLastIndex(({ choices: [choice] }) => choice?.delta.content);
  let isFinished = false;
  for (const [index, { choices }] of events.entries()) {
    const [choice] = choices;
    if (choice?.finish_reason == null) continue;
    if (index < lastText || isFinished) choice.finish_reason = null;
    else isFinished = true;
  }
}

/** The events that a client gets of a recorded stream. */
export function mendedEvents(recording: Recording, isUsageAsked: boolean): Json[] {
  const state = newState(false, isUsageAsked);
  const events = recording.stream.filter((event): event is Json => !isText(event));
  const isCount = ({ choices, usage }: Json) => choices.length === 0 && usage;
  const mended = events.filter((event) => !isCount(event)).map((event) => mend(event, recording, state));
  if (recording.mends?.includes("finish-once")) keepOneFinish(mended);
  const last = events.findLast((event) => countsOf(event));
  if (isUsageAsked && last !== undefined) {
    const counts = isCount(last) ? last : { choices: [], usage: countsOf(last) };
    mended.push(mend(counts, recording, state));
  }
  return mended;
}

/** The whole answer that a client gets of a recorded one. */
export const mendedWhole = (recording: Recording): Json =>
  mend(recording.whole, recording, newState(true, false));

/** The bytes of a recorded stream. */
export const streamText = (events: readonly (object | string)[]): string =>
  events.map((event) => `${isText(event) ? event : `data: ${JSON.stringify(event)}`}\n\n`).join("");
