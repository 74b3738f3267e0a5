/** What a long chain's turn is told, by a process that knows the chain and by one that has to read it. */
import { describe, expect, test } from "bun:test";
import type { Provider, StreamPart } from "../../../core/types.ts";
import { systemClock } from "../../../core/util/time.ts";
import { countingStore } from "../../fakes/counting-store.ts";
import { reply, scriptedProvider } from "../../fakes/scripted-provider.ts";
import { type Json, responsesHandler } from "../../support/responses.ts";

const tools = [{ type: "function", name: "look", parameters: null }];
/** So that it is kept parsed. */
const long = "word ".repeat(1000);

/** Thinks, and calls a tool where it is asked to look. */
const thinker = () =>
  scriptedProvider({
    async *answer({ messages }): AsyncGenerator<StreamPart> {
      const { role, text } = messages.at(-1) ?? {};
      yield { type: "reasoning-delta", delta: `I think of ${role}.` };
      if (role !== "tool" && text?.startsWith("Look")) {
        yield { type: "tool-call-delta", index: 0, id: `call_${messages.length}`, name: "look", delta: "{}" };
        yield { type: "finish", reason: "tool_calls" };
      } else yield* reply(`${messages.length} messages`);
    },
  });

const instance = (store: ReturnType<typeof countingStore>, provider = thinker()) => {
  const made = responsesHandler({}, { store, providers: [provider] });
  return { ...made, told: () => provider.requests.at(-1)?.request.messages.map(({ native }) => native) };
};

describe("a long chain", () => {
  test("is the same to an instance that has made it and to one that has not", async () => {
    const store = countingStore(systemClock);
    const warm = instance(store);
    let previous: string | undefined;
    let calls: Json[] = [];
    const inputs: ((calls: Json[]) => Json[])[] = [
      () => [{ role: "user", content: `Hi. ${long}` }],
      () => [
        { role: "developer", content: "Be kind." },
        { role: "user", content: "Look around." },
      ],
      (open) => open.map(({ call_id }) => ({ type: "function_call_output", call_id, output: "trees" })),
      () => [{ role: "user", content: "Look again." }],
      (open) => [
        { role: "developer", content: "Hurry." },
        ...open.map(({ call_id }) => ({ type: "function_call_output", call_id, output: "more trees" })),
      ],
      () => [
        { role: "user", content: "One" },
        { role: "user", content: [{ type: "input_text", text: "Two" }] },
      ],
      () => [{ role: "user", content: "Bye" }],
    ];
    for (const [turn, input] of inputs.entries()) {
      const body = {
        input: input(calls),
        instructions: `Turn ${turn}.`,
        tools,
        previous_response_id: previous,
      };
      const response = await warm.create(body);
      if (previous !== undefined) {
        const cold = instance(store);
        await cold.create({ ...body, store: false });
        expect(cold.told()).toEqual(warm.told());
      }
      previous = response.id;
      calls = response.output.filter(({ type }: Json) => type === "function_call");
    }
    const told = warm.told() as Json[];
    expect(told[0]).toEqual({ role: "system", content: "Turn 6." });
    expect(told.map(({ role }) => role).join(" ")).toBe(
      "system user assistant system user assistant tool assistant user system assistant tool assistant user user assistant user",
    );
    // Thoughts of turns that are over are nobody's business.
    expect(JSON.stringify(told)).not.toContain("I think");
  });

  test("has a tool's result beside its call, also where the user spoke before it came", async () => {
    const { create, told } = instance(countingStore(systemClock));
    const asked = await create({ input: "Look", tools });
    const { call_id } = asked.output.at(-1);
    const output = { type: "function_call_output", call_id, output: "trees" };
    const wait = { role: "user", content: "Wait." };
    let { id } = await create({ input: [wait, output], tools, previous_response_id: asked.id });
    for (const input of ["One", "Two", "Three"]) {
      ({ id } = await create({ input, tools, previous_response_id: id }));
      expect(told()?.filter(({ role }) => role === "tool")).toEqual([
        { role: "tool", tool_call_id: call_id, content: "trees" },
      ]);
      expect(JSON.stringify(told())).not.toContain("Result of a tool");
    }
  });

  test("keeps its thoughts while its model waits for a tool", async () => {
    const { create, told } = instance(countingStore(systemClock));
    const first = await create({ input: `Hi ${long}` });
    const asked = await create({ input: "Look", tools, previous_response_id: first.id });
    const { call_id } = asked.output.at(-1);
    const output = { type: "function_call_output", call_id, output: "trees" };
    await create({ input: [output], tools, previous_response_id: asked.id });
    expect(told()?.slice(-2)).toMatchObject([{ reasoning_content: "I think of user." }, { role: "tool" }]);
    expect(JSON.stringify(told()?.slice(0, -2))).not.toContain("I think");
  });

  test("is told to a model that can't use it all from its newest turns on, with all system texts", async () => {
    const provider: Provider & ReturnType<typeof thinker> = { ...thinker(), maxHistoryMessages: 4 };
    const { create, told, records } = instance(countingStore(systemClock), provider);
    const developer = { role: "developer", content: "Be kind." };
    let { id } = await create({ input: [developer, { role: "user", content: `Hi ${long}` }] });
    for (let turn = 1; turn < 6; turn++)
      ({ id } = await create({ input: `turn ${turn}`, previous_response_id: id, instructions: "Be brief." }));
    expect(told()?.map(({ content }) => content)).toEqual([
      "Be brief.",
      "Be kind.",
      "turn 2",
      expect.any(String),
      "turn 3",
      expect.any(String),
      "turn 4",
      expect.any(String),
      "turn 5",
    ]);
    expect(records.at(-1)?.droppedMessages).toBeGreaterThan(0);
  });
});
