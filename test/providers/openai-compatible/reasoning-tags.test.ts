/** Thoughts that a model puts before its text, between tags. */
import { describe, expect, test } from "bun:test";
import { parseConfig } from "../../../core/config/config.ts";
import { ReasoningTags } from "../../../core/providers/openai-compatible/reasoning-tags.ts";
import { chunk, doneEvent, jsonScript } from "../../fakes/openai-upstream.ts";
import { askedUpstream, events } from "./asked-upstream.ts";

const { upstream, ask } = await askedUpstream();

/** What becomes of a text that comes in these pieces. */
const split = (pieces: readonly string[]) => {
  const tags = new ReasoningTags(["think", "thought"]);
  let text = "";
  let reasoning = "";
  for (const [index, piece] of pieces.entries()) {
    const read = tags.read(piece, index === pieces.length - 1);
    text += read.text;
    reasoning += read.reasoning;
  }
  return { text, reasoning };
};

describe.each<[string, string, { readonly text: string; readonly reasoning: string }]>([
  [
    "thoughts and a text",
    "<think>\nHm, 2 < 3.\n</think>\n\nYes.",
    { reasoning: "Hm, 2 < 3.\n", text: "Yes." },
  ],
  ["blanks before", " \n<think>Hm.</think>Yes", { reasoning: "Hm.", text: "Yes" }],
  ["another tag", "<thought>Hm.</thought>Yes", { reasoning: "Hm.", text: "Yes" }],
  ["no thoughts", "<think>\n\n</think>\n\nYes", { reasoning: "", text: "Yes" }],
  ["no text", "<think>Hm.</think>", { reasoning: "Hm.", text: "" }],
  ["no end", "<think>Hm, so", { reasoning: "Hm, so", text: "" }],
  [
    "a tag in a tag's place",
    "<think>a<b></thin</think>c</think>d",
    { reasoning: "a<b></thin", text: "c</think>d" },
  ],
  ["no tag", "Yes, <think>this</think> stays.", { reasoning: "", text: "Yes, <think>this</think> stays." }],
  ["code", "```\n<think>x</think>\n```", { reasoning: "", text: "```\n<think>x</think>\n```" }],
  ["quoted code", "`<think>` opens.", { reasoning: "", text: "`<think>` opens." }],
  ["another element", "<thinker>x</thinker>", { reasoning: "", text: "<thinker>x</thinker>" }],
  ["an opening that never ends", "<thi", { reasoning: "", text: "<thi" }],
  [
    "thoughts about the tag",
    "<think>The tag is `</think>`, so.</think>Yes",
    { reasoning: "The tag is `</think>`, so.", text: "Yes" },
  ],
  [
    "thoughts with a block of code",
    "<think>Like\n```xml\n</think>\n```\nso.</think>Yes",
    { reasoning: "Like\n```xml\n</think>\n```\nso.", text: "Yes" },
  ],
  ["a lone backtick", "<think>it`s so</think>`Yes", { reasoning: "it`s so</think>`Yes", text: "" }],
])("a reply with %s", (_, reply, expected) => {
  const same = ({ text, reasoning }: typeof expected) => ({ text, reasoning: reasoning.trim() });

  test("is split", () => {
    expect(same(split([reply]))).toEqual(same(expected));
  });

  test("is split alike wherever it is cut", () => {
    for (let at = 0; at <= reply.length; at++) {
      expect(same(split([reply.slice(0, at), reply.slice(at)]))).toEqual(same(expected));
    }
    expect(same(split([...reply]))).toEqual(same(expected));
  });
});

describe("an upstream's reply", () => {
  const reply = "<think>Hm.</think>\n\nYes.";
  const script = (stream: boolean) =>
    stream
      ? events(...[...reply].map((content) => chunk({ content })), chunk({}, "stop"), doneEvent)
      : jsonScript(200, { choices: [{ index: 0, message: { content: reply }, finish_reason: "stop" }] });
  const read = async (stream: boolean, reasoningTags?: readonly string[]) => {
    upstream.script(script(stream));
    const { parts, text } = await ask({ stream }, { reasoningTags });
    return [parts.map((part) => (part.type === "reasoning-delta" ? part.delta : "")).join(""), text];
  };

  test.each([true, false])("keeps its tags unless they are named, stream: %p", async (stream) => {
    expect(await read(stream)).toEqual(["", reply]);
    expect(await read(stream, ["think"])).toEqual(["Hm.", "Yes."]);
    expect(await read(stream, ["other"])).toEqual(["", reply]);
  });

  test("has all of its text though it ends in the middle of a tag", async () => {
    upstream.script(events(chunk({ content: "<thi" }), doneEvent));
    expect((await ask("Hello", { reasoningTags: ["think"] })).text).toBe("<thi");
  });
});

test.each<[string | undefined, readonly string[] | undefined]>([
  [undefined, undefined],
  ["off", undefined],
  ["think", ["think"]],
  [" think, thought ", ["think", "thought"]],
])("REASONING_TAGS=%s names the tags of every upstream", (value, tags) => {
  const config = parseConfig({
    OPENAI_BASE_URL: "http://a/v1",
    PROVIDERS: '[{"name":"b","baseUrl":"http://b/v1"}]',
    ...(value !== undefined && { REASONING_TAGS: value }),
  });
  expect(
    config.upstreams.map((upstream) => ("reasoningTags" in upstream ? upstream.reasoningTags : undefined)),
  ).toEqual([tags, tags]);
});

test("REASONING_TAGS with brackets is refused", () => {
  expect(() => parseConfig({ REASONING_TAGS: "<think>" })).toThrow(/REASONING_TAGS must be names of tags/);
});
