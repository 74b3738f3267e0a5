/** Which tool call a piece belongs to, as vendors number and name them. */
import { describe, expect, test } from "bun:test";
import { chunk, doneEvent, jsonScript } from "../../fakes/openai-upstream.ts";
import { askedUpstream, events, nativeEvents } from "./asked-upstream.ts";

const { upstream, ask } = await askedUpstream();

interface Piece {
  readonly id?: string | null;
  readonly index?: number;
  readonly name?: string;
  readonly args?: string;
}

const callOf = ({ name, args, ...call }: Piece) => ({
  ...call,
  type: "function",
  function: { ...(name !== undefined && { name }), ...(args !== undefined && { arguments: args }) },
});

/** The calls as memory has them: their names with their arguments, and whether all ids differ. */
const callsOf = async (stream: boolean) => {
  const { parts, events: read, error } = await ask({ stream });
  expect(error).toBeUndefined();
  const calls: { id: string; name: string; args: string }[] = [];
  for (const part of parts) {
    if (part.type !== "tool-call-delta") continue;
    calls[part.index] ??= { id: part.id ?? "", name: part.name ?? "", args: "" };
    (calls[part.index] as { args: string }).args += part.delta;
  }
  expect(new Set(calls.map(({ id }) => id)).size).toBe(calls.length);
  for (const { id } of calls) expect(id).not.toBe("");
  // What OpenAI's clients read: by index.
  const seen: { id: string; name: string; args: string }[] = [];
  for (const { choices } of nativeEvents(read)) {
    for (const choice of choices) {
      const list = choice.delta?.tool_calls ?? choice.message?.tool_calls ?? [];
      for (const [position, { id, index, function: called }] of list.entries()) {
        seen[index ?? position] ??= { id, name: called.name, args: "" };
        (seen[index ?? position] as { args: string }).args += called.arguments ?? "";
      }
    }
  }
  expect(seen).toEqual(calls);
  return calls.map(({ name, args }) => name + args);
};

const twoCalls = ['f{"x":1}', 'g{"x":2}'];

describe("in a stream, two calls are two", () => {
  test.each<[string, Piece[][]]>([
    [
      "with equal ids at two indexes",
      [
        [{ index: 0, id: "a", name: "f", args: '{"x":1}' }],
        [{ index: 1, id: "a", name: "g", args: '{"x":2}' }],
      ],
    ],
    [
      "with equal ids at two indexes, piece by piece",
      [
        [{ index: 0, id: "a", name: "f", args: "" }],
        [{ index: 0, args: '{"x":1}' }],
        [{ index: 1, id: "a", name: "g", args: "" }],
        [{ index: 1, id: "a", args: '{"x":' }],
        [{ index: 1, id: "a", args: "2}" }],
      ],
    ],
    [
      "all at index 0 with empty ids",
      [
        [
          { index: 0, id: "", name: "f", args: '{"x":1}' },
          { index: 0, id: "", name: "g", args: '{"x":2}' },
        ],
      ],
    ],
    [
      "all at index 0 without ids, in chunks of their own",
      [[{ index: 0, name: "f", args: '{"x":1}' }], [{ index: 0, name: "g", args: '{"x":2}' }]],
    ],
    [
      "all at index 0 with ids",
      [
        [{ index: 0, id: "a", name: "f", args: '{"x":' }],
        [{ index: 0, args: "1}" }],
        [{ index: 0, id: "b", name: "g", args: '{"x":2}' }],
      ],
    ],
    [
      "without an index",
      [[{ id: "a", name: "f", args: '{"x":1}' }], [{ id: "b", name: "g", args: '{"x":2}' }]],
    ],
    [
      "without index and id",
      [
        [
          { name: "f", args: '{"x":1}' },
          { name: "g", args: '{"x":2}' },
        ],
      ],
    ],
    [
      "counted from 1",
      [
        [{ index: 1, id: "a", name: "f", args: '{"x":1}' }],
        [{ index: 2, id: "b", name: "g", args: '{"x":2}' }],
      ],
    ],
    [
      "that come in turns",
      [
        [
          { index: 0, id: "a", name: "f", args: "" },
          { index: 1, id: "b", name: "g", args: "" },
        ],
        [
          { index: 0, args: '{"x"' },
          { index: 1, args: '{"x"' },
        ],
        [
          { index: 1, args: ":2}" },
          { index: 0, args: ":1}" },
        ],
      ],
    ],
  ])("%s", async (_, deltas) => {
    upstream.script(
      events(
        ...deltas.map((calls) => chunk({ tool_calls: calls.map(callOf) })),
        chunk({}, "stop"),
        doneEvent,
      ),
    );
    expect(await callsOf(true)).toEqual(twoCalls);
  });

  test("one after another of the same name", async () => {
    const pieces = [1, 2, 3].map((x) => callOf({ index: 0, id: "", name: "f", args: `{"x":${x}}` }));
    upstream.script(events(...pieces.map((call) => chunk({ tool_calls: [call] })), doneEvent));
    expect(await callsOf(true)).toEqual(['f{"x":1}', 'f{"x":2}', 'f{"x":3}']);
  });
});

describe("in a stream, one call is one", () => {
  test.each<[string, Piece[]]>([
    [
      "with its name over incomplete arguments",
      [
        { index: 0, id: "a", name: "f", args: '{"x"' },
        { index: 0, id: "a", name: "f", args: ":1}" },
      ],
    ],
    [
      "with its name over incomplete arguments, without an id",
      [
        { index: 0, name: "f", args: "" },
        { index: 0, name: "f", args: '{"x"' },
        { index: 0, name: "f", args: ":1}" },
      ],
    ],
    [
      "with its name and id in every piece, the last of which is empty",
      [
        { index: 0, id: "a", name: "f", args: '{"x":1}' },
        { index: 0, id: "a", name: "f", args: "" },
      ],
    ],
    [
      "with an empty name and a null id in its further pieces",
      [
        { index: 0, id: "a", name: "f", args: '{"x"' },
        { index: 0, id: null, name: "", args: ":1}" },
      ],
    ],
    [
      "whose name comes after its id",
      [
        { index: 0, id: "a" },
        { index: 0, name: "f", args: '{"x":1}' },
      ],
    ],
  ])("%s", async (_, pieces) => {
    upstream.script(events(...pieces.map((piece) => chunk({ tool_calls: [callOf(piece)] })), doneEvent));
    const { parts } = await ask("Hello");
    const calls = parts.filter((part) => part.type === "tool-call-delta");
    expect(calls.every(({ index }) => index === 0)).toBe(true);
    expect(calls.findLast(({ name }) => name !== undefined && name !== "")?.name).toBe("f");
    expect(calls.map(({ delta }) => delta).join("")).toBe('{"x":1}');
  });

  test("and the pieces that need nothing go on as they were", async () => {
    const pieces: Piece[] = [
      { index: 0, id: "a", name: "f", args: "" },
      { index: 0, name: "", args: '{"x":' },
      { index: 0, id: null, args: "1}" },
    ];
    upstream.script(events(...pieces.map((piece) => chunk({ tool_calls: [callOf(piece)] })), doneEvent));
    const { events: read } = await ask("Hello");
    const sent = nativeEvents(read).flatMap(({ choices: [choice] }) => choice.delta.tool_calls);
    expect(sent).toEqual(pieces.map(callOf));
  });
});

test.each<[string, Piece[]]>([
  [
    "with equal ids",
    [
      { id: "a", name: "f", args: '{"x":1}' },
      { id: "a", name: "g", args: '{"x":2}' },
    ],
  ],
  [
    "with empty ids",
    [
      { id: "", name: "f", args: '{"x":1}' },
      { id: "", name: "g", args: '{"x":2}' },
    ],
  ],
  [
    "all at index 0",
    [
      { index: 0, id: "a", name: "f", args: '{"x":1}' },
      { index: 0, id: "b", name: "g", args: '{"x":2}' },
    ],
  ],
])("in a whole answer, two calls are two, %s", async (_, calls) => {
  const message = { role: "assistant", content: null, tool_calls: calls.map(callOf) };
  upstream.script(jsonScript(200, { choices: [{ index: 0, message, finish_reason: "tool_calls" }] }));
  expect(await callsOf(false)).toEqual(twoCalls);
});
