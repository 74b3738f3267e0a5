/** What upstreams do to their streams, and what a client is to get of each. */
import { chunk, doneEvent } from "./openai-upstream.ts";

export interface StreamFault {
  readonly name: string;
  readonly stream: string;
  /** The text that the client gets. */
  readonly text: string;
  /** Why the reply ended; absent where it failed. */
  readonly finish?: string;
  /** The code of the error that it ends with instead. */
  readonly error?: string;
  /** The client's token counts in all, where the upstream has told them. */
  readonly tokens?: number;
}

const greeting = "Grüß 👩‍👩‍👧!";
const hello = chunk({ role: "assistant", content: "" }) + chunk({ content: greeting });
const stop = chunk({}, "stop");
const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 };
const whole = { text: greeting, finish: "stop" };

export const streamFaults: readonly StreamFault[] = [
  { name: "none", stream: hello + stop + doneEvent, ...whole },
  {
    name: "comments everywhere",
    stream: `: OPENROUTER PROCESSING\n\n${hello.replaceAll("data:", ": still there\ndata:")}:\n\n${stop}: bye\n\n${doneEvent}`,
    ...whole,
  },
  { name: "CRLF", stream: (hello + stop + doneEvent).replaceAll("\n", "\r\n"), ...whole },
  { name: "CR", stream: (hello + stop + doneEvent).replaceAll("\n", "\r"), ...whole },
  { name: "a byte order mark", stream: `\uFEFF${hello}${stop}${doneEvent}`, ...whole },
  {
    name: "no space after the field's name",
    stream: (hello + stop + doneEvent).replaceAll("data: ", "data:"),
    ...whole,
  },
  {
    name: "events of other types, with ids and retries",
    stream: `event: ping\ndata: {"type":"ping"}\n\nid: 1\nretry: 10\n${hello}event: message\n${stop}${doneEvent}`,
    ...whole,
  },
  { name: "no [DONE]", stream: hello + stop, ...whole },
  { name: "no blank line after the last event", stream: (hello + stop).trimEnd(), ...whole },
  { name: "no finish_reason", stream: hello + doneEvent, ...whole },
  { name: "more after [DONE]", stream: hello + stop + doneEvent + hello, ...whole },
  {
    name: "chunks with token counts alone",
    stream: hello + stop + chunk(null, null, { usage }) + doneEvent,
    ...whole,
    tokens: 7,
  },
  {
    name: "token counts before the end, in the choice",
    stream: hello + stop.replace('"finish_reason"', `"usage":${JSON.stringify(usage)},"finish_reason"`),
    ...whole,
    tokens: 7,
  },
  {
    name: "no choices, null choices, empty deltas",
    stream: `${chunk(null)}data: {"choices":null}\n\n${hello}data: {"choices":[{"index":0,"delta":null}]}\n\n${chunk({ content: null })}${stop}${doneEvent}`,
    ...whole,
  },
  {
    name: "a finish_reason of its own, and twice",
    stream: `${hello}${chunk({}, "max_tokens")}${stop}${doneEvent}`,
    text: greeting,
    finish: "length",
  },
  {
    name: "a whole reply as an event",
    stream: `data: ${JSON.stringify({ choices: [{ message: { content: greeting }, finish_reason: "stop" }] })}\n\n`,
    ...whole,
  },
  ...[": keepalive", "ping", "DONE", "null", "[]", "1", '"text"', "[ping]"].map((junk) => ({
    name: `events that are no objects: ${junk}`,
    stream: `data: ${junk}\n\n${hello}data: ${junk}\n\n${stop}data: ${junk}\n\n${doneEvent}`,
    ...whole,
  })),
  {
    name: "a cumulative message beside its deltas",
    stream: ["Grüß", " 👩‍👩‍👧!", ""]
      .map((content, index) => {
        const message = { role: "assistant", content: ["Grüß", greeting, greeting][index] };
        const finish_reason = index === 2 ? "stop" : null;
        const choice = { index: 0, finish_reason, message, delta: { role: "assistant", content } };
        return `data: ${JSON.stringify({ choices: [choice] })}\n\n`;
      })
      .join(""),
    ...whole,
  },
  {
    name: "a cumulative message after its deltas",
    stream: `${hello}data: ${JSON.stringify({
      choices: [{ index: 0, message: { role: "assistant", content: greeting }, finish_reason: "stop" }],
    })}\n\n`,
    ...whole,
  },
  {
    name: "cumulative messages alone",
    stream: ["Grüß", greeting, greeting]
      .map((content, index) => {
        const choice = { index: 0, message: { content }, finish_reason: index === 2 ? "stop" : null };
        return `data: ${JSON.stringify({ choices: [choice] })}\n\n`;
      })
      .join(""),
    ...whole,
  },
  {
    name: "its text in choices[].text",
    stream: ["Grüß", " 👩‍👩‍👧!"]
      .map((text) => `data: ${JSON.stringify({ choices: [{ index: 0, text, finish_reason: null }] })}\n\n`)
      .join("")
      .concat(doneEvent),
    ...whole,
  },
  {
    name: "a finish_reason in every chunk",
    stream: hello.replaceAll('"finish_reason":null', '"finish_reason":"stop"') + doneEvent,
    ...whole,
  },
  {
    name: "null as a text, and a role that is empty",
    stream:
      (hello + stop)
        .replaceAll('"finish_reason":null', '"finish_reason":"null"')
        .replaceAll('"assistant"', '""') + doneEvent,
    ...whole,
  },
  {
    name: "a word of its own while it goes on",
    stream: hello.replaceAll('"finish_reason":null', '"finish_reason":"ongoing"') + stop + doneEvent,
    ...whole,
  },
  {
    name: "a finish_reason, and more text after it",
    stream: `${chunk({ content: "Grüß" }, "stop")}${chunk({ content: " 👩‍👩‍👧!" })}${chunk({}, "length")}${doneEvent}`,
    text: greeting,
    finish: "length",
  },
  {
    name: "a finish_reason of a filter",
    stream: hello + chunk({}, "sensitive"),
    text: greeting,
    finish: "content_filter",
  },
  {
    name: "a finish_reason of a broken network",
    stream: hello + chunk({}, "network_error") + doneEvent,
    text: greeting,
    error: "upstream_error",
  },
  {
    name: "Baidu's error",
    stream: `${hello}data: {"error_code":336100,"error_msg":"the server is busy"}\n\n`,
    text: greeting,
    error: "upstream_error",
  },
  {
    name: "an error of a code and a message",
    stream: `${hello}data: {"code":"InternalError","message":"Broken"}\n\n${doneEvent}`,
    text: greeting,
    error: "InternalError",
  },
  {
    name: "FastAPI's error",
    stream: `${hello}data: {"detail":"Broken"}\n\n${doneEvent}`,
    text: greeting,
    error: "upstream_error",
  },
  {
    name: "a list of errors",
    stream: `${hello}data: {"errors":[{"message":"Broken","code":5007}]}\n\n`,
    text: greeting,
    error: "upstream_error",
  },
  {
    name: "llama.cpp's error field",
    stream: `${hello}error: {"code":500,"message":"Broken","type":"server_error"}\n\n`,
    text: greeting,
    error: "upstream_unavailable",
  },
  {
    name: "an error amid the reply",
    stream: `${hello}data: {"error":{"message":"Overloaded","type":"server_error","code":"busy"}}\n\n${doneEvent}`,
    text: greeting,
    error: "busy",
  },
  {
    name: "an error event",
    stream: `${hello}event: error\ndata: {"message":"Broken"}\n\n`,
    text: greeting,
    error: "upstream_error",
  },
  {
    name: "an error in a choice",
    stream: `${hello}data: {"choices":[{"index":0,"delta":{},"error":{"code":502,"message":"Gone"}}]}\n\n`,
    text: greeting,
    error: "upstream_unavailable",
  },
  {
    name: "a finish_reason that is a failure",
    stream: hello + chunk({}, "error"),
    text: greeting,
    error: "upstream_error",
  },
  {
    name: "an event that is not JSON",
    stream: `${hello}data: {oops\n\n${stop}${doneEvent}`,
    text: greeting,
    error: "upstream_invalid_response",
  },
  { name: "no end", stream: hello, text: greeting, error: "upstream_unreachable" },
  {
    name: "an end within an event",
    stream: hello + stop.slice(0, -20),
    text: greeting,
    error: "upstream_unreachable",
  },
];
